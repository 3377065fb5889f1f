//! How many notices of each tenant wait to be told. Kept in memory, so that nobody asks the disk for what is not there;
//! changes can be taken back until they are committed. Knows no back end.

use std::collections::BTreeMap;

use sms_core::TenantId;

/// Waiting notices by tenant; shelved ones do not count.
#[derive(Debug, Default)]
pub(crate) struct NoticeCounts {
    tenants: BTreeMap<TenantId, u64>,
    undo: Vec<(TenantId, u64)>,
}

impl NoticeCounts {
    /// As many more.
    pub(crate) fn add(&mut self, tenant: &TenantId, more: u64) {
        let count = self.count(tenant);
        self.set(tenant, count.saturating_add(more));
    }

    /// As many fewer.
    pub(crate) fn remove(&mut self, tenant: &TenantId, fewer: u64) {
        let count = self.count(tenant);
        self.set(tenant, count.saturating_sub(fewer));
    }

    /// The tenants for whom any wait.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    pub(crate) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(crate) fn rollback(&mut self) {
        while let Some((tenant, count)) = self.undo.pop() {
            self.put(tenant, count);
        }
    }

    fn count(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    fn set(&mut self, tenant: &TenantId, count: u64) {
        let before = self.count(tenant);
        if before != count {
            self.undo.push((tenant.clone(), before));
            self.put(tenant.clone(), count);
        }
    }

    fn put(&mut self, tenant: TenantId, count: u64) {
        if count == 0 {
            self.tenants.remove(&tenant);
        } else {
            self.tenants.insert(tenant, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(counts: &NoticeCounts) -> Vec<&str> {
        counts.tenants().map(TenantId::as_str).collect()
    }

    #[test]
    fn only_tenants_with_waiting_notices_are_named() {
        let (mut counts, acme, globex) = (NoticeCounts::default(), TenantId::new("acme"), TenantId::new("globex"));
        counts.add(&acme, 2);
        counts.add(&globex, 1);
        counts.remove(&acme, 1);
        counts.remove(&globex, 5);
        assert_eq!(waiting(&counts), ["acme"]);
    }

    #[test]
    fn what_was_not_committed_is_taken_back() {
        let (mut counts, acme, globex) = (NoticeCounts::default(), TenantId::new("acme"), TenantId::new("globex"));
        counts.add(&acme, 2);
        counts.commit();
        counts.add(&globex, 1);
        counts.remove(&acme, 1);
        counts.remove(&acme, 1);
        assert_eq!(waiting(&counts), ["globex"]);
        counts.rollback();
        assert_eq!(waiting(&counts), ["acme"]);
        counts.remove(&acme, 1);
        assert_eq!(waiting(&counts), ["acme"], "two waited");
    }
}
