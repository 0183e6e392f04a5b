//! Figures that were measured several times: the quartiles, so that an outlier is seen and does not decide.

use std::fmt;

/// Sorted samples.
#[derive(Clone, Debug)]
pub struct Summary(Vec<f64>);

impl Summary {
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Summary {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        Summary(samples)
    }

    /// The value below which this part of the samples is, between neighbours in proportion; NaN of no samples.
    pub fn quantile(&self, part: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let at = part.clamp(0.0, 1.0) * last as f64;
        let (below, above) = (self.0[at.floor() as usize], self.0[at.ceil() as usize]);
        below + (above - below) * at.fract()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "samples": self.len(), "min": self.quantile(0.0), "q1": self.quantile(0.25), "median": self.median(),
            "q3": self.quantile(0.75), "p99": self.quantile(0.99), "max": self.quantile(1.0),
        })
    }
}

/// The median, and the range in brackets.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let (min, max) = (self.quantile(0.0), self.quantile(1.0));
        write!(f, "{:.digits$} [{min:.digits$}…{max:.digits$}]", self.median())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        for (samples, part, expected) in [
            (&[3.0, 1.0, 2.0][..], 0.5, 2.0),
            (&[4.0, 1.0, 2.0, 3.0], 0.5, 2.5),
            (&[4.0, 1.0, 2.0, 3.0], 0.25, 1.75),
            (&[1.0, 2.0], 0.0, 1.0),
            (&[1.0, 2.0], 1.0, 2.0),
            (&[7.0], 0.99, 7.0),
        ] {
            assert_eq!(Summary::of(samples.iter().copied()).quantile(part), expected, "{samples:?} {part}");
        }
        assert!(Summary::of([]).median().is_nan());
    }
}
