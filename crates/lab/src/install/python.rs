//! libvirt's own library as a script can use it, for tests that compare us with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::plan::Step;
use super::{Component, DIRECTORIES, Missing, Policy, apt, lock, look_up};
use crate::{Error, command};

/// An interpreter of Python that can import libvirt's binding. No lab needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonBinding {
    interpreter: PathBuf,
}

impl PythonBinding {
    /// Finds it.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is none.
    pub fn find() -> Result<Self, Error> {
        // There may be others beside the distribution's, without its modules.
        let interpreters = DIRECTORIES.map(|directory| Path::new(directory).join("python3"));
        let mut interpreters = interpreters.into_iter();
        let found = interpreters.find(|interpreter| imports_libvirt(interpreter));
        let missing = || {
            let components = vec![Component::PythonBinding];
            Error::Missing(Missing { components })
        };
        let interpreter = found.ok_or_else(missing)?;
        Ok(Self { interpreter })
    }

    /// Finds it, or installs it from the distribution if the policy allows.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is missing and may not or cannot be installed, and what the
    /// package manager said when it failed.
    pub fn ensure(policy: Policy, report: &mut dyn FnMut(&Step)) -> Result<Self, Error> {
        let found = Self::find();
        let root = rustix::process::geteuid().is_root();
        let may_install = policy == Policy::Install && root && look_up("apt-get").is_some();
        if found.is_ok() || !may_install {
            return found;
        }
        let _lock = lock("install")?;
        apt::run(&Step::install_python_binding(), report)?;
        Self::find()
    }

    /// The interpreter.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }
}

fn imports_libvirt(interpreter: &Path) -> bool {
    if !interpreter.is_file() {
        return false;
    }
    let mut import = Command::new(interpreter);
    import.args(["-c", "import libvirt_qemu"]);
    command::output(&mut import).is_ok_and(|output| output.status.success())
}
