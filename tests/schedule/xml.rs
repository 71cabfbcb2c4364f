//! What the XML shows of the domain.

use crate::story::Work;
use crate::world::{Phase, World};

impl World {
    /// The XML of the domain as it runs; of one that does not run, its definition.
    pub(crate) fn live_xml(&self) -> Option<String> {
        let Some(id) = self.id else {
            return self.inactive_xml();
        };
        let below = self.live.iter().enumerate().skip(1).rev();
        let backing = below.fold("<backingStore/>".to_owned(), |inner, (index, image)| {
            let kind = self.kind_of(image);
            let source = self.source(image);
            format!("<backingStore type='{kind}' index='{index}'>{source}{inner}</backingStore>")
        });
        let mirror = self.mirror();
        let disk = self.disk(self.live[0], &format!("{backing}{mirror}"));
        Some(format!("<domain type='kvm' id='{id}'>{disk}</domain>"))
    }

    /// The XML of the definition; of a transient domain, what it runs with.
    pub(crate) fn inactive_xml(&self) -> Option<String> {
        let chain = match &self.definition {
            Some(definition) => definition,
            None if self.id.is_some() => &self.live,
            None => return None,
        };
        let disk = self.disk(chain.first()?, "");
        Some(format!("<domain type='kvm'>{disk}</domain>"))
    }

    fn disk(&self, image: &str, inner: &str) -> String {
        if self.is_unplugged {
            return "<name>guest</name><devices/>".to_owned();
        }
        let kind = self.kind_of(image);
        let source = self.source(image);
        format!(
            "<name>guest</name><devices><disk type='{kind}' device='disk'>\
             <driver name='qemu' type='qcow2'/>{source}{inner}<target dev='vda' bus='virtio'/>\
             </disk></devices>"
        )
    }

    fn kind_of(&self, image: &str) -> &'static str {
        if self.is_on_network(image) {
            "network"
        } else {
            "file"
        }
    }

    fn source(&self, image: &str) -> String {
        if self.is_on_network(image) {
            format!("<source protocol='rbd' name='pool{image}'><host name='ceph'/></source>")
        } else {
            format!("<source file='{image}'/>")
        }
    }

    fn mirror(&self) -> String {
        let Some(job) = self.job.as_ref().filter(|job| job.work.is_mirror()) else {
            return String::new();
        };
        let destination = job.work.result()[0];
        let kind = self.kind_of(destination);
        let name = match job.work {
            _ if job.rewritten => "",
            Work::Copy { .. } => "copy",
            _ => "active-commit",
        };
        let ready = match job.phase {
            _ if job.rewritten => "",
            Phase::Running => "",
            Phase::Ready => " ready='yes'",
            Phase::Ending { pivot: true } => " ready='pivot'",
            Phase::Ending { pivot: false } => " ready='abort'",
        };
        let source = self.source(destination);
        format!("<mirror type='{kind}' job='{name}'{ready}>{source}</mirror>")
    }
}
