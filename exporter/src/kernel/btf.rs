//! A checked reader of the kernel's type information (BTF), for member offsets, sizes and enum values.
//!
//! The kernel programs carry no relocations: user space looks up where this kernel keeps each member and
//! writes the offsets into the programs' read-only data. The bytes come from `/sys/kernel/btf/vmlinux`, but
//! nothing here trusts them: every read is bounds-checked, every walk is bounded, and a blob that does not
//! make sense is an error or an absent member, never a panic. The format is described in the kernel's
//! `Documentation/bpf/btf.rst`.

use rustc_hash::FxHashMap;

const MAGIC: u16 = 0xeb9f;
const TYPE_LEN: usize = 12;
/// Longest chain of typedefs and qualifiers, and deepest nesting of anonymous members, that is followed.
const MAX_DEPTH: usize = 32;
/// Most members looked at for one path; the largest kernel structs have a few hundred.
const MAX_MEMBERS: usize = 100_000;

/// Why a blob is not usable as BTF.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    #[error("BTF is cut short: {what} needs bytes up to {needed}, there are {len}")]
    Truncated { what: &'static str, needed: usize, len: usize },
    #[error("not BTF of this machine's byte order: magic {0:#06x}")]
    Magic(u16),
    #[error("BTF version {0} is not known (only 1 is)")]
    Version(u8),
    #[error("BTF type {id} has kind {kind}, which is not known")]
    Kind { id: usize, kind: u8 },
}

/// `info.kind` of a type, as in `include/uapi/linux/btf.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    fn from_id(id: u8) -> Option<Kind> {
        Some(match id {
            0 => Kind::Void,
            1 => Kind::Int,
            2 => Kind::Ptr,
            3 => Kind::Array,
            4 => Kind::Struct,
            5 => Kind::Union,
            6 => Kind::Enum,
            7 => Kind::Fwd,
            8 => Kind::Typedef,
            9 => Kind::Volatile,
            10 => Kind::Const,
            11 => Kind::Restrict,
            12 => Kind::Func,
            13 => Kind::FuncProto,
            14 => Kind::Var,
            15 => Kind::Datasec,
            16 => Kind::Float,
            17 => Kind::DeclTag,
            18 => Kind::TypeTag,
            19 => Kind::Enum64,
            _ => return None,
        })
    }

    /// Bytes that follow the common part of a type of this kind with `vlen` entries.
    fn extra_len(self, vlen: usize) -> usize {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => 12 * vlen,
            Kind::Enum | Kind::FuncProto => 8 * vlen,
            Kind::Void
            | Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => 0,
        }
    }
}

/// Where a member is, from the start of the struct that a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub bit_offset: u32,
    /// Width in bits if the member is a bitfield, 0 if not.
    pub bitfield_bits: u32,
    type_id: u32,
}

impl Member {
    /// The offset in bytes, unless the member is a bitfield.
    pub fn byte_offset(&self) -> Option<u32> {
        (self.bitfield_bits == 0 && self.bit_offset.is_multiple_of(8)).then_some(self.bit_offset / 8)
    }
}

/// An indexed view of a BTF blob.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; id 0 (void) has no bytes and stands for offset `u32::MAX`.
    starts: Vec<u32>,
    /// Types that have a name to look up, by name. One name may belong to several: the kernel has
    /// structs of the same name that differ between compilation units.
    named: FxHashMap<&'a [u8], Vec<u32>>,
    /// Values of enumerators, by name; the first definition wins.
    enumerators: FxHashMap<&'a [u8], i64>,
}

impl std::fmt::Debug for Btf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btf").field("types", &self.starts.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: Kind,
    vlen: usize,
    kind_flag: bool,
    size_or_type: u32,
    /// Offset in `types` of what follows the common part.
    body: usize,
}

impl<'a> Btf<'a> {
    /// Checks the blob's structure and indexes it.
    pub fn parse(data: &'a [u8]) -> Result<Btf<'a>, BtfError> {
        let short = |what, needed| BtfError::Truncated { what, needed, len: data.len() };
        let header = data.get(..24).ok_or_else(|| short("header", 24))?;
        let magic = u16_at(header, 0).unwrap_or(0);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let version = header.get(2).copied().unwrap_or(0);
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let field = |at| u32_at(header, at).unwrap_or(0) as usize;
        let header_len = field(4);
        let section = |what, offset: usize, len: usize| {
            // No overflow: the sum of three u32 fits a usize of 64 bits.
            let start = header_len + offset;
            data.get(start..start + len).ok_or_else(|| short(what, start + len))
        };
        let types = section("the type section", field(8), field(12))?;
        let strings = section("the string section", field(16), field(20))?;

        let mut btf = Btf {
            types,
            strings,
            starts: vec![u32::MAX],
            named: FxHashMap::default(),
            enumerators: FxHashMap::default(),
        };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let id = self.starts.len();
            let truncated = |needed| BtfError::Truncated { what: "a type", needed, len: self.types.len() };
            let kind_id = u32_at(self.types, at + 4).ok_or_else(|| truncated(at + TYPE_LEN))? >> 24 & 0x1f;
            let ty = self.type_at(at).ok_or(match Kind::from_id(kind_id as u8) {
                None => BtfError::Kind { id, kind: kind_id as u8 },
                Some(_) => truncated(at + TYPE_LEN),
            })?;
            let end = ty.body + ty.kind.extra_len(ty.vlen);
            if end > self.types.len() {
                return Err(truncated(end));
            }
            // `at` is below a u32 section length.
            self.starts.push(at as u32);
            match ty.kind {
                Kind::Struct | Kind::Union | Kind::Typedef => {
                    if let Some(name) = self.string(ty.name).filter(|name| !name.is_empty()) {
                        self.named.entry(name).or_default().push(id as u32);
                    }
                }
                Kind::Enum | Kind::Enum64 => self.index_enum(&ty),
                _ => {}
            }
            at = end;
        }
        Ok(())
    }

    fn index_enum(&mut self, ty: &Type) {
        for index in 0..ty.vlen {
            let (at, value) = if ty.kind == Kind::Enum {
                let at = ty.body + 8 * index;
                let Some(value) = u32_at(self.types, at + 4) else { return };
                // kind_flag says that the values are signed.
                (at, if ty.kind_flag { i64::from(value as i32) } else { i64::from(value) })
            } else {
                let at = ty.body + 12 * index;
                let (Some(low), Some(high)) = (u32_at(self.types, at + 4), u32_at(self.types, at + 8)) else {
                    return;
                };
                (at, (u64::from(high) << 32 | u64::from(low)) as i64)
            };
            if let Some(name) = u32_at(self.types, at).and_then(|name| self.string(name)) {
                self.enumerators.entry(name).or_insert(value);
            }
        }
    }

    /// Where the member is that a path like `mnt_namespace.ns.inum` names. The first part is a struct,
    /// union or typedef; the others are members, found also inside anonymous members; an array stands for
    /// its first element. Pointers are not followed: what is behind one has no offset.
    pub fn member(&self, path: &str) -> Option<Member> {
        let (root, members) = path.split_once('.')?;
        let mut fuel = MAX_MEMBERS;
        self.candidates(root).find_map(|id| self.member_of(id, members, &mut fuel))
    }

    fn member_of(&self, root: u32, members: &str, fuel: &mut usize) -> Option<Member> {
        let mut found = Member { bit_offset: 0, bitfield_bits: 0, type_id: root };
        for name in members.split('.') {
            let inner = self.find(found.type_id, name.as_bytes(), MAX_DEPTH, fuel)?;
            found = Member { bit_offset: found.bit_offset.checked_add(inner.bit_offset)?, ..inner };
        }
        Some(found)
    }

    fn find(&self, id: u32, name: &[u8], depth: usize, fuel: &mut usize) -> Option<Member> {
        let ty = self.resolve(id)?;
        if !matches!(ty.kind, Kind::Struct | Kind::Union) || name.is_empty() {
            return None;
        }
        let depth = depth.checked_sub(1)?;
        for index in 0..ty.vlen {
            *fuel = fuel.checked_sub(1)?;
            let at = ty.body + 12 * index;
            let member_name = self.string(u32_at(self.types, at)?)?;
            let type_id = u32_at(self.types, at + 4)?;
            let offset = u32_at(self.types, at + 8)?;
            // With kind_flag an offset holds a bitfield's width too.
            let (bit_offset, bitfield_bits) =
                if ty.kind_flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            let member = Member { bit_offset, bitfield_bits, type_id };
            if member_name == name {
                return Some(member);
            }
            if member_name.is_empty()
                && let Some(inner) = self.find(type_id, name, depth, fuel)
            {
                return Some(Member { bit_offset: bit_offset.checked_add(inner.bit_offset)?, ..inner });
            }
        }
        None
    }

    /// Size in bytes of the struct or union with this name, or of the member that a path names.
    pub fn size(&self, path: &str) -> Option<u32> {
        if path.contains('.') {
            let member = self.member(path)?;
            return self.size_of(member.type_id, MAX_DEPTH);
        }
        self.candidates(path).find_map(|id| self.size_of(id, MAX_DEPTH))
    }

    fn size_of(&self, id: u32, depth: usize) -> Option<u32> {
        let ty = self.strip(id)?;
        match ty.kind {
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                Some(ty.size_or_type)
            }
            Kind::Ptr => Some(size_of::<usize>() as u32),
            Kind::Array => {
                let element = self.size_of(u32_at(self.types, ty.body)?, depth.checked_sub(1)?)?;
                element.checked_mul(u32_at(self.types, ty.body + 8)?)
            }
            _ => None,
        }
    }

    /// Value of an enumerator, whichever enum it belongs to.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        self.enumerators.get(name.as_bytes()).copied()
    }

    /// Is there a typedef with this name? `btf_trace_NAME` exists for each tracepoint of the kernel.
    pub fn has_typedef(&self, name: &str) -> bool {
        self.candidates(name).any(|id| self.get(id).is_some_and(|ty| ty.kind == Kind::Typedef))
    }

    fn candidates(&self, name: &str) -> impl Iterator<Item = u32> {
        self.named.get(name.as_bytes()).into_iter().flatten().copied()
    }

    /// Through typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id)?;
            match ty.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    id = ty.size_or_type;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    /// Through typedefs, qualifiers and arrays.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let ty = self.strip(id)?;
            if ty.kind != Kind::Array {
                return Some(ty);
            }
            id = u32_at(self.types, ty.body)?;
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type> {
        let start = *self.starts.get(id as usize)?;
        self.type_at(start as usize)
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let info = u32_at(self.types, at.checked_add(4)?)?;
        Some(Type {
            name: u32_at(self.types, at)?,
            kind: Kind::from_id((info >> 24 & 0x1f) as u8)?,
            vlen: (info & 0xffff) as usize,
            kind_flag: info >> 31 == 1,
            size_or_type: u32_at(self.types, at + 8)?,
            body: at + TYPE_LEN,
        })
    }

    fn string(&self, offset: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(offset as usize..)?;
        rest.get(..memchr::memchr(0, rest)?)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_ne_bytes(bytes.get(at..end)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let end = at.checked_add(2)?;
    Some(u16::from_ne_bytes(bytes.get(at..end)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
