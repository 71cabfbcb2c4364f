use crate::domain::xml::Element;

/// A checkpoint that is to be made, in types: its name, and the disks that it is about.
///
/// Without any disk named it is about every disk that the guest can write; with one it is about
/// those alone. The daemon refuses a disk whose image is not qcow2.
///
/// ```
/// use virtwire::{CheckpointXml, NewCheckpoint};
///
/// let checkpoint = NewCheckpoint::named("monday").description("before <the> update").disk("vda");
/// assert_eq!(
///     CheckpointXml::from(checkpoint).as_str(),
///     "<domaincheckpoint><name>monday</name>\
///      <description>before &lt;the&gt; update</description>\
///      <disks><disk name=\"vda\" checkpoint=\"bitmap\"/></disks></domaincheckpoint>"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "domaincheckpoint")]
#[must_use = "it is made by Domain::create_checkpoint"]
pub struct NewCheckpoint {
    name: Option<String>,
    description: Option<String>,
    /// Each disk, and whether the checkpoint is about it.
    disks: Vec<(String, bool)>,
}

/// The XML of a checkpoint that is to be made: made from a [`NewCheckpoint`], or by whoever has
/// more to say than that can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointXml(String);

impl NewCheckpoint {
    /// With this name: letters, digits, `_`, `-` and, but for the first, `.`.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// With a name that the daemon makes of the time, in seconds since 1970.
    pub fn unnamed() -> Self {
        Self::default()
    }

    /// Says what it is for, to people.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// It is about this disk, by its target.
    pub fn disk(mut self, target: impl Into<String>) -> Self {
        self.disks.push((target.into(), true));
        self
    }

    /// It is not about this disk, by its target. Of use only to say so: the others have to be
    /// named all the same.
    pub fn exclude(mut self, target: impl Into<String>) -> Self {
        self.disks.push((target.into(), false));
        self
    }

    fn element(&self) -> Element {
        let text = |name: &str, value: &Option<String>| {
            let value = value.as_ref();
            value.map(|value| Element::new(name).with_text(value))
        };
        let disk = |(target, tracked): &(String, bool)| {
            let kind = if *tracked { "bitmap" } else { "no" };
            let disk = Element::new("disk").with("name", target);
            disk.with("checkpoint", kind)
        };
        let disks = self.disks.iter().map(disk);
        let disks = (!self.disks.is_empty()).then(|| Element::new("disks").with_children(disks));
        Element::new("domaincheckpoint")
            .with_children(text("name", &self.name))
            .with_children(text("description", &self.description))
            .with_children(disks)
    }
}

impl CheckpointXml {
    /// This text, which is sent as it is.
    #[must_use]
    pub fn new(xml: impl Into<String>) -> Self {
        Self(xml.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<NewCheckpoint> for CheckpointXml {
    fn from(checkpoint: NewCheckpoint) -> Self {
        Self(checkpoint.element().to_string())
    }
}
