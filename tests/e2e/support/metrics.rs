//! One scrape.

/// What `/metrics` said.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// The exposition as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every series, as `name{labels}`.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.samples().map(|(series, _)| series)
    }

    /// The sum over all series of this name that carry these labels; `None` when there is no such series.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let fits = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let has = |pair: &String| rest.split(['{', ',', '}']).any(|part| part == pair);
            found == name && wanted.iter().all(has)
        };
        let found: Vec<f64> = self.samples().filter(|(series, _)| fits(series)).map(|(_, value)| value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// [`Metrics::sum`], with 0 for no such series.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(name, labels).unwrap_or_default()
    }

    fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series, value.parse().ok()?))
        })
    }
}
