//! [`To`]: writes a metric with its name, its help and its labels. Which metrics there are is not
//! here.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::net::ServerMetrics;
use crate::observe::Id;

/// Where the metrics go, one after the other.
pub(super) struct To<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
}

impl To<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let name = format!("tidegate_{name}");
        let mut metric = self.encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let name = format!("tidegate_{name}");
        let unit = Some(&Unit::Seconds);
        let mut metric = self.encoder.encode_descriptor(&name, help, unit, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value.as_secs_f64(), None)
    }

    pub(super) fn seconds_now(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let name = format!("tidegate_{name}");
        let unit = Some(&Unit::Seconds);
        let mut metric = self.encoder.encode_descriptor(&name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(&value.as_secs_f64())
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        let name = format!("tidegate_{name}");
        let mut metric = self.encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// One gauge for each value of a label.
    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        unit: Option<&Unit>,
        values: &[(impl AsRef<str>, f64)],
    ) -> fmt::Result {
        let name = format!("tidegate_{name}");
        let mut metric = self.encoder.encode_descriptor(&name, help, unit, MetricType::Gauge)?;
        for (of, value) in values {
            metric.encode_family(&[(label, of.as_ref())])?.encode_gauge(value)?;
        }
        Ok(())
    }

    pub(super) fn of_each(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        servers: &[ServerMetrics],
        read: fn(&ServerMetrics) -> u64,
    ) -> fmt::Result {
        let of = servers.iter().map(|server| {
            let (local, id) = (server.local.to_string(), Id::server(server.key).to_string());
            ([("server", local), ("id", id)], read(server))
        });
        self.labelled(name, help, kind, of)
    }

    /// One metric for each set of labels.
    pub(super) fn labelled<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        of: impl Iterator<Item = ([(&'static str, String); N], u64)>,
    ) -> fmt::Result {
        let name = format!("tidegate_{name}");
        let is_counter = matches!(kind, MetricType::Counter);
        let mut metric = self.encoder.encode_descriptor(&name, help, None, kind)?;
        for (labels, value) in of {
            let mut metric = metric.encode_family(&labels)?;
            if is_counter {
                metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            } else {
                metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
            }
        }
        Ok(())
    }
}
