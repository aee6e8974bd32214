//! Members of the workspace, as cargo sees them.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::package::{Package, Source};

/// Crate of the workspace.
#[derive(Debug, Clone)]
pub struct Member {
    /// Name, as in `Cargo.toml`.
    pub name: String,
    /// Folder from the root of the workspace.
    pub folder: String,
    /// Crates that it is built with, without those of its tests.
    pub dependencies: BTreeSet<String>,
}

impl Member {
    /// Reads its sources.
    ///
    /// # Errors
    /// If a source cannot be read, or is not made of Rust tokens.
    pub fn package(&self, root: &Path) -> Result<Package, String> {
        let folder = root.join(&self.folder);
        let files = sources(&folder.join("src"))?;
        let sources = files.into_iter().map(|file| source(&folder, &file));
        let dependencies = self.dependencies.iter().map(String::as_str);
        Package::read(&self.name, dependencies, sources.collect::<Result<_, _>>()?)
    }
}

/// Root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Asks cargo for the members of the workspace, in the order of their names.
///
/// # Errors
/// If cargo cannot be started, or refuses.
pub fn members(root: &Path) -> Result<Vec<Member>, String> {
    let answer = cargo(root, &["metadata", "--no-deps", "--format-version=1"])?;
    let metadata: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().ok_or("cargo names no packages")?;
    let mut members: Vec<Member> =
        packages.iter().filter_map(|package| member(root, package)).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// Asks cargo for all crates that a member is built with, directly or not.
///
/// # Errors
/// If cargo cannot be started, or refuses.
pub fn dependency_tree(root: &Path, member: &str) -> Result<BTreeSet<String>, String> {
    let shown = cargo(
        root,
        &["tree", "--package", member, "--edges=normal", "--prefix=none", "--format={p}"],
    )?;
    Ok(shown.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Rust sources below a folder, without those of builds and tools, in order.
///
/// # Errors
/// If a folder cannot be read.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_foreign = name.starts_with('.') || ["target", "node_modules"].contains(&&*name);
        if entry.file_type().map_err(failed)?.is_dir() {
            if !is_foreign {
                found.extend(sources(&entry.path())?);
            }
        } else if name.ends_with(".rs") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a source, named from a folder.
///
/// # Errors
/// If the file cannot be read.
pub fn source(folder: &Path, file: &Path) -> Result<Source, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let path = file.strip_prefix(folder).unwrap_or(file).to_string_lossy().into_owned();
    Ok(Source { path, text })
}

fn member(root: &Path, package: &Value) -> Option<Member> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let folder = manifest.parent()?.strip_prefix(root).ok()?.to_string_lossy().into_owned();
    let dependencies = package["dependencies"].as_array()?.iter();
    let built_with = dependencies.filter(|dependency| dependency["kind"].is_null());
    Some(Member {
        name: package["name"].as_str()?.to_owned(),
        folder,
        dependencies: built_with
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect(),
    })
}

/// Runs cargo without the network, and returns its standard output.
fn cargo(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        let faults = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo {}: {faults}", arguments.join(" ")));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
