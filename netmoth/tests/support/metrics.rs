//! The page of metrics as Prometheus would read it.

use super::command::{SHORT, run};
use std::collections::BTreeMap;
use std::process::Command;

/// The samples of one page.
#[derive(Debug)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Asks with curl, which is a command in the sensor's namespace.
    #[track_caller]
    pub(crate) fn fetch(mut curl: Command, address: &str) -> Self {
        let url = format!("http://{address}/metrics");
        let page = run(curl.args(["-sS", "--fail", "--max-time", "10", &url]), SHORT).expect_success().stdout;
        assert!(page.ends_with("# EOF\n"), "the page is cut off:\n{page}");
        let samples = page.lines().filter(|line| !line.starts_with('#')).map(sample);
        Self { samples: samples.collect() }
    }

    /// The sum of all samples of one name that have all these labels; there must be one at least.
    #[track_caller]
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
        };
        let values: Vec<f64> = self.samples.iter().filter(fits).map(|sample| sample.value).collect();
        assert!(!values.is_empty(), "no {name} with {labels:?} in {self:#?}");
        values.iter().sum::<f64>() as u64
    }

    /// The values that one label takes in a family.
    pub(crate) fn values(&self, name: &str, label: &str) -> Vec<&str> {
        let all = self.samples.iter().filter(|sample| sample.name == name);
        let mut values: Vec<&str> = all.map(|sample| sample.labels[label].as_str()).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

/// `name{key="value",…} number`; the labels of this sensor need no escapes.
#[track_caller]
fn sample(line: &str) -> Sample {
    let parts = || {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.strip_suffix('}')?.split_once('{')?;
        let pairs = labels.split(',').map(|label| label.split_once('='));
        let labels = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())));
        Some(Sample { name: name.to_owned(), labels: labels.collect::<Option<_>>()?, value: value.parse().ok()? })
    };
    parts().unwrap_or_else(|| panic!("no sample: {line:?}"))
}
