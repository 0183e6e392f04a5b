//! Exchanging the rules while events flow.
//!
//! A new set is built whole before anything changes. Then: the kernel collects what either set needs, the hot
//! thread changes sets between two events, the kernel stops collecting what only the old set needed. Any
//! failure leaves the old set running. No event is lost.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};

use super::{plan, sets::Sets, sources::RuleSources};
use crate::{
    kernel::{KernelError, Plan},
    metrics::{Metrics, ReloadResult},
    rules::{self, Diagnostic, LoadOptions, Severity, SourceFile},
    tenants::Tenants,
};

/// Most diagnostics logged of one load.
const MAX_LOGGED: usize = 50;

/// Why other rules could not be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("the kernel refuses what the rules need")]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Swap(#[from] super::hot::SwapError),
}

/// What rules act on: the kernel side and the hot thread, or a test's record of both.
pub trait Stage {
    type Rules;
    /// Makes the kernel collect exactly this.
    fn collect(&mut self, plan: &Plan) -> Result<(), StageError>;
    /// Makes the hot thread use these.
    fn swap(&mut self, rules: Self::Rules) -> Result<(), StageError>;
}

/// Takes `rules` into use on a stage that runs `current`.
pub fn exchange<S: Stage>(
    stage: &mut S,
    current: &mut Plan,
    rules: S::Rules,
    plan: Plan,
) -> Result<(), StageError> {
    let both = plan::union(current, &plan);
    let widened = stage.collect(&both).and_then(|()| stage.swap(rules));
    if let Err(error) = widened {
        if let Err(error) = stage.collect(current) {
            tracing::error!(%error, "cannot go back to what the old rules need");
        }
        return Err(error);
    }
    // Failing here costs CPU, not detections: the kernel goes on collecting what nobody needs.
    match stage.collect(&plan) {
        Ok(()) => *current = plan,
        Err(error) => {
            tracing::warn!(%error, "cannot stop collecting what only the old rules needed");
            *current = both;
        }
    }
    Ok(())
}

/// Loads rules from their sources, and says what came of it.
#[derive(Debug)]
pub struct Loader {
    sources: RuleSources,
    options: LoadOptions,
    push_down: bool,
    tenants: Arc<Tenants>,
    /// Of the text last loaded, whether or not it could be used.
    fingerprint: u64,
    /// Tenants something of whose own rules is not used.
    broken: BTreeSet<String>,
}

/// What a load gave.
#[derive(Debug)]
pub enum Loaded {
    Rules(Box<Sets>),
    /// The text is the same as the last time.
    Same,
    /// Logged already.
    Broken,
}

impl Loader {
    /// `push_down`: whether the kernel is to drop what no rule can match.
    pub fn new(sources: RuleSources, options: LoadOptions, push_down: bool, tenants: Arc<Tenants>) -> Loader {
        Loader { sources, options, push_down, tenants, fingerprint: 0, broken: BTreeSet::new() }
    }

    /// Files and folders whose change calls for a reload.
    pub fn paths(&self) -> Vec<PathBuf> {
        let own = self.tenants.iter().flat_map(|tenant| &tenant.scope.rules_files);
        self.sources.paths().iter().chain(own).cloned().collect()
    }

    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// Says of each tenant whether what it brings is used.
    pub fn tell(&self, metrics: &Metrics) {
        for tenant in self.tenants.iter().skip(1) {
            metrics.set_tenant_rules_broken(&tenant.name, self.broken.contains(&*tenant.name));
        }
    }

    /// Reads and compiles. Unless `always`, rules that have not changed are not compiled again.
    pub fn load(&mut self, always: bool) -> Loaded {
        let files = match self.sources.read() {
            Ok(files) => files,
            Err(error) => {
                tracing::error!("{error}");
                return Loaded::Broken;
            }
        };
        // A tenant's files that cannot be read are its own problem; that they could not is a change, too.
        let own = self.tenants.iter().map(|tenant| {
            let paths = tenant.scope.rules_files.clone();
            if paths.is_empty() { Ok(Vec::new()) } else { RuleSources::Paths(paths).read() }
        });
        let own: Vec<_> = own.map(|files| files.unwrap_or_default()).collect();
        let fingerprint = fingerprint(files.iter().chain(own.iter().flatten()));
        if !always && fingerprint == self.fingerprint {
            return Loaded::Same;
        }
        self.fingerprint = fingerprint;
        let loaded = rules::load(&files, &self.options);
        log(&loaded.diagnostics);
        match loaded.rules {
            Some(rules) => {
                let (sets, problems) = Sets::load(rules, &files, &self.options, &self.tenants);
                for (tenant, problem) in problems.iter().take(MAX_LOGGED) {
                    tracing::error!(%tenant, "what this tenant brings is not used: {problem}");
                }
                self.broken = problems.into_iter().map(|(tenant, _)| tenant).collect();
                Loaded::Rules(Box::new(sets))
            }
            None => Loaded::Broken,
        }
    }
}

fn fingerprint<'f>(files: impl Iterator<Item = &'f SourceFile>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for SourceFile { name, text } in files {
        (name, text).hash(&mut hasher);
    }
    hasher.finish()
}

fn log(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics.iter().take(MAX_LOGGED) {
        match diagnostic.severity {
            Severity::Error => tracing::error!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
        }
    }
    if let Some(more) = diagnostics.len().checked_sub(MAX_LOGGED).filter(|more| *more > 0) {
        tracing::warn!(more, "more diagnostics; see `yagura rules check`");
    }
}

/// One reload from reading to narrowing; `make` prepares a set for the stage.
pub fn reload<S: Stage>(
    loader: &mut Loader,
    always: bool,
    stage: &mut S,
    current: &mut Plan,
    metrics: &Metrics,
    make: impl FnOnce(Sets) -> S::Rules,
) -> Option<ReloadResult> {
    let result = match loader.load(always) {
        Loaded::Same => return None,
        Loaded::Broken => {
            tracing::error!("the rules were not reloaded: the old ones run on");
            ReloadResult::Failure
        }
        Loaded::Rules(rules) => {
            let (count, plan) = (rules.enabled(), rules.plan(loader.push_down));
            match exchange(stage, current, make(*rules), plan) {
                Ok(()) => {
                    metrics.set_rules_loaded(count);
                    loader.tell(metrics);
                    tracing::info!(rules = count, "rules reloaded");
                    ReloadResult::Success
                }
                Err(error) => {
                    let error = crate::kernel::chain(&error);
                    tracing::error!(%error, "the rules were not reloaded: the old ones run on");
                    ReloadResult::KernelFailure
                }
            }
        }
    };
    metrics.reloaded(result);
    Some(result)
}

#[cfg(test)]
mod tests;
