//! Runs side by side.

use serde_json::{Value as Json, json};

use super::Figures;

/// How the second compares with the first: of the rounds' ratios the median, the least and the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compared {
    /// Processor time a decision.
    pub(crate) cost: Option<[f64; 3]>,
    /// The median latency.
    pub(crate) p50: [f64; 3],
    /// The latency that one in a hundred exceeds.
    pub(crate) p99: [f64; 3],
}

/// Compares rounds that were run in turn, each with the one beside it: what a neighbour on the machine did to one it
/// did, more or less, to the other.
pub(crate) fn compare(a: &[Figures], b: &[Figures]) -> Option<Compared> {
    let pairs = || a.iter().zip(b);
    let cost: Option<Vec<f64>> = pairs().map(|(a, b)| Some(b.cpu_micros()? / a.cpu_micros()?)).collect();
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53")]
    let at = |figures: &Figures, quantile| figures.latency(quantile).max(1) as f64;
    let latency = |quantile| spread(pairs().map(|(a, b)| at(b, quantile) / at(a, quantile)).collect());
    Some(Compared { cost: cost.and_then(spread), p50: latency(0.5)?, p99: latency(0.99)? })
}

/// Median, least and most. Of an even number the median is the mean of the two in the middle.
pub(crate) fn spread(mut ratios: Vec<f64>) -> Option<[f64; 3]> {
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios.get(ratios.len().checked_sub(1)? / 2)?, ratios.get(ratios.len() / 2)?);
    Some([f64::midpoint(*low, *high), *ratios.first()?, *ratios.last()?])
}

impl Compared {
    pub(crate) fn json(&self) -> Json {
        let named = |[median, least, most]: [f64; 3]| json!({ "median": median, "least": least, "most": most });
        json!({
            "cpu_per_decision": self.cost.map(named), "latency_p50": named(self.p50), "latency_p99": named(self.p99),
        })
    }

    pub(crate) fn text(&self) -> String {
        let told = |[median, least, most]: [f64; 3]| format!("{median:.3} ({least:.3} to {most:.3})");
        let cost = self.cost.map_or("unknown".to_owned(), told);
        format!("b over a: processor time a decision {cost}, p50 {}, p99 {}", told(self.p50), told(self.p99))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::figures;
    use super::*;

    #[test]
    fn ratios_are_of_rounds_and_told_with_their_spread() {
        let a = [figures(100, 1.0, 10), figures(100, 1.0, 10), figures(100, 1.0, 10)];
        let b = [figures(100, 0.5, 20), figures(100, 1.0, 10), figures(100, 0.25, 40)];
        let compared = compare(&a, &b).unwrap();
        assert_eq!(compared.cost, Some([0.5, 0.25, 1.0]));
        assert_eq!((compared.p50, compared.p99), ([2.0, 1.0, 4.0], [2.0, 1.0, 4.0]));
        assert_eq!(compare(&a, &[]), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread(vec![3.0, 1.0]), Some([2.0, 1.0, 3.0]));
        assert_eq!(spread(vec![9.0, 1.0, 2.0]), Some([2.0, 1.0, 9.0]));
        assert_eq!(spread(vec![]), None);
    }
}
