//! Rules in use, with what belongs to each of them and to each tenant: counters, limits, who hears what.

use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus::IntCounter;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::{
    limit::Bucket,
    lineage,
    sets::{OwnSets, Sets, exception_of},
};
use crate::{
    config::RateLimit,
    detection::Detection,
    fields::{FieldRef, Subject, Value, scheme},
    metrics::{Metrics, Series, Tally},
    rules::{Priority, Rule, RuleSet, Scratch},
    tenants::{PLATFORM, TenantId, Tenants},
};

/// Whose an event is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whose<'a> {
    pub tenant: TenantId,
    pub namespace: Option<&'a str>,
}

/// Rules in use.
#[derive(Debug)]
pub struct Active {
    base: Judged,
    tallies: Arc<[RuleTally]>,
    tenants: Arc<Tenants>,
    /// By tenant.
    scopes: Vec<Scope>,
    /// By tenant; shared by everybody who evaluates.
    quotas: Arc<[QuotaTally]>,
    metrics: Arc<Metrics>,
    /// A condition or an output uses what whoever runs a container knows of it, or whose an event is matters.
    uses_metadata: bool,
    has_own_rules: bool,
}

/// A set, and what does not change of its rules.
#[derive(Clone, Debug)]
struct Judged {
    set: Arc<RuleSet>,
    /// By rule id.
    rules: Arc<[RuleState]>,
}

#[derive(Debug)]
struct RuleState {
    name: Arc<str>,
    source: &'static str,
    tags: Arc<[String]>,
}

/// What a tenant has of the rules.
#[derive(Clone, Debug)]
struct Scope {
    tenant: Arc<str>,
    base: Hearing,
    own: Option<(Judged, Hearing)>,
    exceptions: Option<Exceptions>,
    quota: Bucket,
    limit: RateLimit,
}

/// How a tenant hears a set's rules, by rule id.
#[derive(Clone, Debug)]
struct Hearing {
    /// `None`: not at all.
    priorities: Arc<[Option<Priority>]>,
    buckets: Vec<Bucket>,
    counters: FxHashMap<(usize, Option<Box<str>>), IntCounter>,
    /// Of the registry when the counters were looked up.
    generation: u64,
}

#[derive(Clone, Debug)]
struct Exceptions {
    set: Arc<RuleSet>,
    /// By rule of the set: the base's rules that it is about.
    about: Arc<[Vec<usize>]>,
    /// By rule of the base: how often one held.
    held: Arc<[Option<IntCounter>]>,
}

/// What a thread brings to [`Active::apply`].
#[derive(Debug)]
pub(super) struct Matching<'a> {
    pub scratch: &'a mut Scratches,
    pub limit: &'a RateLimit,
    /// The clock of the rate limits, which never goes back.
    pub now_ns: u64,
    /// `evt.rawtime`.
    pub time: &'a FieldRef,
    pub detections: &'a Tally,
    pub suppressed: &'a Tally,
    pub queue_full: &'a Tally,
}

/// Memory of an evaluation: one for each kind of set, since it belongs to a set.
#[derive(Debug, Default)]
pub(super) struct Scratches {
    base: Scratch,
    own: Scratch,
    exceptions: Scratch,
}

/// How many detections of a rule its limit held back since the rule set came into use.
#[derive(Debug)]
pub struct RuleTally {
    pub rule: Arc<str>,
    pub suppressed: Tally,
}

/// How many detections of a tenant its quota held back.
#[derive(Debug)]
pub struct QuotaTally {
    pub tenant: Arc<str>,
    pub limit: RateLimit,
    suppressed: AtomicU64,
    total: IntCounter,
}

impl QuotaTally {
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    fn add(&self) {
        self.suppressed.fetch_add(1, Relaxed);
        self.total.inc();
    }
}

impl Judged {
    fn new(set: RuleSet) -> Judged {
        let rules = set.rules().iter().map(|rule| RuleState {
            name: rule.name.as_str().into(),
            source: rule.source.name(),
            tags: rule.tags.as_slice().into(),
        });
        Judged { rules: rules.collect(), set: Arc::new(set) }
    }
}

impl Hearing {
    /// Exports each rule that is heard at 0.
    fn new(
        judged: &Judged,
        priorities: Arc<[Option<Priority>]>,
        tenant: &str,
        metrics: &Metrics,
        limit: &RateLimit,
    ) -> Hearing {
        let mut hearing = Hearing {
            buckets: vec![Bucket::new(limit); judged.rules.len()],
            counters: FxHashMap::default(),
            generation: metrics.generation(),
            priorities,
        };
        for (id, state) in judged.rules.iter().enumerate() {
            let heard = hearing.priorities.get(id).copied().flatten();
            if let Some(priority) = heard {
                let series = Series {
                    tenant,
                    namespace: "",
                    rule: &state.name,
                    priority: priority.name(),
                    source: state.source,
                };
                hearing.counters.insert((id, None), metrics.detections_of(series));
            }
        }
        hearing
    }

    fn count(
        &mut self,
        id: usize,
        state: &RuleState,
        priority: Priority,
        tenant: &str,
        namespace: Option<&str>,
        metrics: &Metrics,
    ) {
        let generation = metrics.generation();
        if self.generation != generation {
            self.generation = generation;
            self.counters.retain(|(_, namespace), _| namespace.is_none());
        }
        let key = (id, namespace.map(Into::into));
        if let Some(counter) = self.counters.get(&key) {
            counter.inc();
            return;
        }
        let namespace = namespace.unwrap_or_default();
        let series =
            Series { tenant, namespace, rule: &state.name, priority: priority.name(), source: state.source };
        let counter = metrics.detections_of(series);
        counter.inc();
        // The registry bounds the series of a tenant; what it put under another name is looked up each time.
        if self.counters.len() < MAX_COUNTERS {
            self.counters.insert(key, counter);
        }
    }
}

/// Counters that a tenant's rules keep at hand.
const MAX_COUNTERS: usize = 4096;

impl Active {
    /// Counts a detection of no rule.
    pub fn count(&self, detection: &Detection) {
        let Detection { tenant, rule, priority, source, .. } = detection;
        let series = Series { tenant, namespace: "", rule, priority: priority.name(), source };
        self.metrics.detections_of(series).inc();
    }

    /// Looks everything up that the hot path will need; exports the counter of each enabled rule of each tenant.
    pub fn new(sets: Sets, tenants: Arc<Tenants>, metrics: &Arc<Metrics>, limit: &RateLimit) -> Active {
        let Sets { base, own } = sets;
        let base = Judged::new(base);
        let mut own = own.into_iter();
        let scopes: Vec<Scope> = tenants
            .iter()
            .map(|tenant| {
                let OwnSets { rules, exceptions } = own.next().unwrap_or_default();
                let priorities = base.set.rules().iter().map(|rule| heard(rule, &tenant.scope));
                let own = rules.map(|rules| {
                    let judged = Judged::new(rules);
                    let all =
                        judged.set.rules().iter().map(|rule| rule.enabled.then_some(rule.priority)).collect();
                    let hearing = Hearing::new(&judged, all, &tenant.name, metrics, limit);
                    (judged, hearing)
                });
                let exceptions = exceptions.map(|set| {
                    let about: Arc<[Vec<usize>]> =
                        set.rules().iter().map(|rule| about(rule, &tenant.scope, &base.set)).collect();
                    let count = |(id, rule): (usize, &RuleState)| {
                        let is_about = about.iter().any(|about| about.contains(&id));
                        is_about.then(|| metrics.excepted_of(&tenant.name, &rule.name))
                    };
                    let held = base.rules.iter().enumerate().map(count).collect();
                    Exceptions { set: Arc::new(set), about, held }
                });
                Scope {
                    tenant: Arc::clone(&tenant.name),
                    base: Hearing::new(&base, priorities.collect(), &tenant.name, metrics, limit),
                    own,
                    exceptions,
                    quota: Bucket::new(&tenant.quota),
                    limit: tenant.quota,
                }
            })
            .collect();
        let sets =
            || std::iter::once(&base).chain(scopes.iter().filter_map(|scope| Some(&scope.own.as_ref()?.0)));
        let tally =
            |rule: &RuleState| RuleTally { rule: Arc::clone(&rule.name), suppressed: Tally::default() };
        let tallies = sets().flat_map(|judged| judged.rules.iter()).map(tally).collect();
        let mut fields = sets().flat_map(|judged| judged.set.requirements().types.values().flatten());
        let uses_metadata = tenants.iter().len() > 1 || fields.any(|field| scheme().is_metadata(field));
        let quotas = tenants.iter().map(|tenant| QuotaTally {
            tenant: Arc::clone(&tenant.name),
            limit: tenant.quota,
            suppressed: AtomicU64::default(),
            total: metrics.quota_of(&tenant.name),
        });
        Active {
            tallies,
            quotas: quotas.collect(),
            has_own_rules: scopes.iter().any(|scope| scope.own.is_some()),
            scopes,
            tenants,
            metrics: Arc::clone(metrics),
            uses_metadata,
            base,
        }
    }

    /// The same rules for another thread. Tallies have one writer all the same: a rule has one source, and a source
    /// one thread.
    pub fn twin(&self) -> Active {
        Active {
            base: self.base.clone(),
            tallies: Arc::clone(&self.tallies),
            tenants: Arc::clone(&self.tenants),
            scopes: self.scopes.clone(),
            quotas: Arc::clone(&self.quotas),
            metrics: Arc::clone(&self.metrics),
            uses_metadata: self.uses_metadata,
            has_own_rules: self.has_own_rules,
        }
    }

    pub fn uses_metadata(&self) -> bool {
        self.uses_metadata
    }

    pub fn tallies(&self) -> Arc<[RuleTally]> {
        Arc::clone(&self.tallies)
    }

    /// What the tenants' quotas held back.
    pub fn quotas(&self) -> Arc<[QuotaTally]> {
        Arc::clone(&self.quotas)
    }

    /// Evaluates the rules of an event's source for its owner. Returns whether one spoke.
    pub(super) fn apply<'s, S: Subject>(
        &mut self,
        subject: &'s S,
        whose: impl Fn(&Tenants) -> Whose<'s>,
        matching: Matching<'_>,
        emit: &mut impl FnMut(Detection) -> bool,
    ) -> bool {
        let Matching { scratch, limit, now_ns, time, detections, suppressed, queue_full } = matching;
        let Active { base, tallies, tenants, scopes, quotas, metrics, has_own_rules, .. } = self;
        let owner = OnceCell::new();
        let owner = || *owner.get_or_init(|| whose(tenants));
        let mut matched = false;
        // A rule that spoke: counted, and let through if the limits allow it.
        let mut speak = |rule: &Rule, state: &RuleState, tally: Option<&RuleTally>, heard: Spoken<'_>| {
            matched = true;
            let Spoken { hearing, priority, quota, quota_limit, tenant, namespace } = heard;
            hearing.count(rule.id, state, priority, tenant, namespace, metrics);
            detections.add(1);
            let Some(bucket) = hearing.buckets.get_mut(rule.id) else { return };
            if !bucket.take(limit, now_ns) {
                suppressed.add(1);
                tally.into_iter().for_each(|tally| tally.suppressed.add(1));
            } else if !quota.take(quota_limit, now_ns) {
                suppressed.add(1);
                quotas.get(owner().tenant).into_iter().for_each(QuotaTally::add);
            } else {
                let detection = detection(rule, state, priority, subject, time, tenant, namespace);
                if !emit(detection) {
                    queue_full.add(1);
                }
            }
        };
        base.set.evaluate_until(subject, &mut scratch.base, |rule| {
            let Whose { tenant, namespace } = owner();
            let Some(state) = base.rules.get(rule.id) else { return false };
            let Some(Scope { tenant, base: hearing, exceptions, quota, limit, .. }) = scopes.get_mut(tenant)
            else {
                return false;
            };
            let Some(priority) = hearing.priorities.get(rule.id).copied().flatten() else { return false };
            if exceptions
                .as_ref()
                .is_some_and(|exceptions| exceptions.excuse(rule.id, subject, &mut scratch.exceptions))
            {
                return false;
            }
            let heard = Spoken { hearing, priority, quota, quota_limit: limit, tenant, namespace };
            speak(rule, state, tallies.get(rule.id), heard);
            true
        });
        if *has_own_rules && owner().tenant != PLATFORM {
            let Whose { tenant: id, namespace } = owner();
            // The tallies of all tenants' rules follow those of the base.
            let before: usize =
                base.rules.len() + scopes.iter().take(id).map(Scope::own_rules).sum::<usize>();
            if let Some(Scope { tenant, own: Some((judged, hearing)), quota, limit, .. }) = scopes.get_mut(id)
            {
                judged.set.evaluate_until(subject, &mut scratch.own, |rule| {
                    let Some(state) = judged.rules.get(rule.id) else { return false };
                    let Some(priority) = hearing.priorities.get(rule.id).copied().flatten() else {
                        return false;
                    };
                    let heard = Spoken { hearing, priority, quota, quota_limit: limit, tenant, namespace };
                    speak(rule, state, tallies.get(before + rule.id), heard);
                    true
                });
            }
        }
        matched
    }

    /// Goes on with the limits of the rules that were in `old` too: a reload must not open the gates. What the quotas
    /// held back goes on being counted where it was.
    pub(super) fn inherit(&mut self, old: &Active) {
        for (scope, before) in self.scopes.iter_mut().zip(&old.scopes) {
            scope.quota = before.quota.clone();
            take_over(&mut scope.base, &self.base, &before.base, &old.base);
            if let (Some((judged, hearing)), Some((old, before))) = (&mut scope.own, &before.own) {
                take_over(hearing, judged, before, old);
            }
        }
        self.quotas = Arc::clone(&old.quotas);
    }
}

/// Who hears a rule speak.
struct Spoken<'a> {
    hearing: &'a mut Hearing,
    priority: Priority,
    quota: &'a mut Bucket,
    quota_limit: &'a RateLimit,
    tenant: &'a Arc<str>,
    namespace: Option<&'a str>,
}

impl Scope {
    fn own_rules(&self) -> usize {
        self.own.as_ref().map_or(0, |(judged, _)| judged.rules.len())
    }
}

impl Exceptions {
    /// Whether an exception about a rule holds.
    fn excuse(&self, rule: usize, subject: &impl Subject, scratch: &mut Scratch) -> bool {
        if !self.about.iter().any(|about| about.contains(&rule)) {
            return false;
        }
        let mut excused = false;
        self.set.evaluate(subject, scratch, |exception| {
            excused |= self.about.get(exception.id).is_some_and(|about| about.contains(&rule));
        });
        if excused {
            self.held.get(rule).into_iter().flatten().for_each(IntCounter::inc);
        }
        excused
    }
}

fn take_over(hearing: &mut Hearing, judged: &Judged, before: &Hearing, old: &Judged) {
    let buckets: FxHashMap<&str, &Bucket> =
        old.rules.iter().map(|rule| &*rule.name).zip(&before.buckets).collect();
    for (rule, bucket) in judged.rules.iter().zip(&mut hearing.buckets) {
        if let Some(before) = buckets.get(&*rule.name) {
            *bucket = (*before).clone();
        }
    }
}

/// With which priority a tenant hears a rule, `None` if it does not.
fn heard(rule: &Rule, scope: &crate::tenants::Scope) -> Option<Priority> {
    let last = scope.selection.iter().rev().find(|selection| selection.by.fits(&rule.name, &rule.tags));
    if !last.map_or(rule.enabled, |selection| selection.enable && rule.enabled) {
        return None;
    }
    let other = scope.priorities.iter().find(|(pattern, _)| pattern.fits(&rule.name));
    Some(other.map_or(rule.priority, |(_, priority)| *priority))
}

/// The rules of the base that an exception is about.
fn about(exception: &Rule, scope: &crate::tenants::Scope, base: &RuleSet) -> Vec<usize> {
    let pattern = exception_of(&exception.name).and_then(|number| scope.exceptions.get(number));
    let fits = |rule: &&Rule| {
        exception.enabled
            && pattern.is_some_and(|(pattern, _)| pattern.fits(&rule.name))
            && rule.source == exception.source
    };
    base.rules().iter().filter(fits).map(|rule| rule.id).collect()
}

fn detection(
    rule: &Rule,
    state: &RuleState,
    priority: Priority,
    subject: &impl Subject,
    time: &FieldRef,
    tenant: &Arc<str>,
    namespace: Option<&str>,
) -> Detection {
    let time_ns = match subject.get(time) {
        Some(Value::AbsTime(ns) | Value::Uint(ns)) => ns,
        _ => 0,
    };
    let rendered = rule.output.render(subject);
    Detection {
        time_ns,
        rule: Arc::clone(&state.name),
        priority,
        source: state.source,
        tags: Arc::clone(&state.tags),
        message: rendered.text,
        output_fields: rendered.fields,
        incomplete_fields: rendered.incomplete,
        uuid: Uuid::new_v4(),
        tenant: Arc::clone(tenant),
        namespace: namespace.map(Into::into),
        ancestors: lineage::ancestors(subject),
        correlation: None,
    }
}

#[cfg(test)]
mod tests;
