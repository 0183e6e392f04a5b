//! What loading rules has to say: errors and warnings with their place in a file, as a compiler prints
//! them.
//!
//! The codes are Falco's (`falco_load_result`), so that tools which know them keep working.

use std::fmt;

use serde::Serialize;

use super::text::Place;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $summary:literal;)*) => {
        /// What kind of problem a diagnostic reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code: errors first.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// Falco's name.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// One line about the kind of problem.
            pub const fn summary(self) -> &'static str {
                match self { $(Code::$variant => $summary,)* }
            }
        }
    };
}

codes! {
    FileRead = "LOAD_ERR_FILE_READ", "File read error";
    YamlParse = "LOAD_ERR_YAML_PARSE", "YAML parse error";
    YamlValidate = "LOAD_ERR_YAML_VALIDATE", "Error validating internal structure of YAML file";
    CompileCondition = "LOAD_ERR_COMPILE_CONDITION", "Error compiling condition";
    CompileOutput = "LOAD_ERR_COMPILE_OUTPUT", "Error compiling output";
    Validate = "LOAD_ERR_VALIDATE", "Error validating rule/macro/list/exception objects";
    /// A plugin that this build does not contain.
    Extension = "LOAD_ERR_EXTENSION", "Error in extension item";
    UnknownSource = "LOAD_UNKNOWN_SOURCE", "Unknown event source";
    UnsafeNaCheck = "LOAD_UNSAFE_NA_CHECK", "Unsafe <NA> comparison in condition";
    NoEvtType = "LOAD_NO_EVTTYPE", "Condition has no event-type restriction";
    UnknownFilter = "LOAD_UNKNOWN_FILTER", "Unknown field or event-type in condition or output";
    UnusedMacro = "LOAD_UNUSED_MACRO", "Unused macro";
    UnusedList = "LOAD_UNUSED_LIST", "Unused list";
    UnknownItem = "LOAD_UNKNOWN_ITEM", "Unknown rules file item";
    DeprecatedItem = "LOAD_DEPRECATED_ITEM", "Used deprecated item";
    /// A key for a part of Falco that this build does not contain (`capture`).
    WarningExtension = "LOAD_WARNING_EXTENSION", "Warning in extension item";
    AppendNoValues = "LOAD_APPEND_NO_VALUES", "Overriding/appending with no values";
    ExceptionNameNotUnique = "LOAD_EXCEPTION_NAME_NOT_UNIQUE", "Multiple exceptions defined with the same name";
    InvalidMacroName = "LOAD_INVALID_MACRO_NAME", "Invalid macro name";
    InvalidListName = "LOAD_INVALID_LIST_NAME", "Invalid list name";
    ConditionWarning = "LOAD_COMPILE_CONDITION", "Warning in rule condition";
    UnknownKey = "LOAD_UNKNOWN_KEY", "Unknown key in item definition";
}

impl Code {
    /// Errors keep the whole set from loading; warnings do not.
    pub const fn severity(self) -> Severity {
        match self {
            Code::FileRead
            | Code::YamlParse
            | Code::YamlValidate
            | Code::CompileCondition
            | Code::CompileOutput
            | Code::Validate
            | Code::Extension => Severity::Error,
            _ => Severity::Warning,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Whether the rules can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One problem. `Display` prints it as a compiler does; `Serialize` is for `-o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    pub message: String,
    /// What it is in: `rule 'Terminal shell in container'`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    pub file: String,
    /// 1-based; 0 if the problem has no place in the file.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// The source line (or the part of it around the place).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// Part of a source line with the place marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snippet {
    pub text: String,
    /// Characters of `text` before the marked ones.
    pub offset: u32,
    /// How many characters are marked, at least 1.
    pub width: u32,
}

impl Diagnostic {
    /// For whoever reads the files: a file that could not be read.
    pub fn file_read(file: impl Into<String>, error: &dyn fmt::Display) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: Code::FileRead,
            message: format!("cannot read the file: {error}"),
            item: None,
            file: file.into(),
            line: 0,
            column: 0,
            snippet: None,
            expected: None,
            suggestion: None,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}[{}]: {}", self.code.name(), Visible(&self.message))?;
        let gutter = self.line.max(1).ilog10() as usize + 1;
        write!(f, "{:gutter$}--> {}", "", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if let Some(item) = &self.item {
            write!(f, " in {}", Visible(item))?;
        }
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{:gutter$} |", "")?;
            write!(f, "\n{} | {}", self.line, snippet.text)?;
            let (offset, width) = (snippet.offset as usize, snippet.width.max(1) as usize);
            write!(f, "\n{:gutter$} | {:offset$}{}", "", "", "^".repeat(width))?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n{:gutter$} = expected {expected}", "")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n{:gutter$} = help: did you mean '{}'?", "", Visible(suggestion))?;
        }
        Ok(())
    }
}

/// Text from a rules file on a terminal: control characters must not act there.
struct Visible<'a>(&'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// A problem on its way to becoming a [`Diagnostic`]: its place is known, its source line not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub code: Code,
    pub message: String,
    pub item: Option<String>,
    pub place: Place,
    pub width: u32,
    pub expected: Option<String>,
    pub suggestion: Option<String>,
}

impl Problem {
    pub fn new(code: Code, place: Place, message: impl Into<String>) -> Problem {
        Problem {
            code,
            message: message.into(),
            item: None,
            place,
            width: 1,
            expected: None,
            suggestion: None,
        }
    }

    pub fn width(mut self, width: usize) -> Problem {
        self.width = u32::try_from(width.max(1)).unwrap_or(1);
        self
    }

    pub fn item(mut self, item: impl Into<String>) -> Problem {
        self.item = Some(item.into());
        self
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Problem {
        self.expected = Some(expected.into());
        self
    }

    pub fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Problem {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// Attaches the file's name and the source line.
    pub fn into_diagnostic(self, files: &super::text::Files<'_>) -> Diagnostic {
        let Problem { code, message, item, place, width, expected, suggestion } = self;
        Diagnostic {
            severity: code.severity(),
            code,
            message,
            item,
            file: files.name(place.file).to_owned(),
            line: place.line,
            column: place.column,
            snippet: files.snippet(place, width),
            expected,
            suggestion,
        }
    }
}
