//! Package: its modules, and the modules and crates that each of them references.

use std::collections::{BTreeMap, BTreeSet};

use crate::syntax::{Module, parse};

/// Crates that every package sees.
const STANDARD: [&str; 3] = ["alloc", "core", "std"];

/// Definitions of names that are followed at most for one path.
const MAX_HOPS: usize = 16;

/// Source file below the folder of its package.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the folder of the package: `src/store/create.rs`.
    pub path: String,
    /// Content.
    pub text: String,
}

/// Thing that a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Top-level module of the same package; `lib` for an item of the root.
    Module(String),
    /// Another crate.
    Crate(String),
}

/// Path in a source, resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// File below the folder of the package.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Top-level module that contains the path; `lib` and `main` for the roots.
    pub from: String,
    /// Thing that the path leads to.
    pub target: Target,
    /// Path with its origin in place of an imported name: `sqlx::query`, `crate::store::create`.
    pub path: String,
}

/// Call of a method without arguments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BareCall {
    /// File below the folder of the package.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Top-level module that contains the call.
    pub from: String,
    /// Name of the method.
    pub method: String,
}

/// Package whose sources are read.
#[derive(Debug)]
pub struct Package {
    /// Name, as in `Cargo.toml`.
    pub name: String,
    /// Files of the package, in order.
    pub sources: Vec<Source>,
    crates: BTreeSet<String>,
    modules: BTreeMap<Vec<String>, (String, Module)>,
}

/// Place of a path, from the root of the package or of another crate.
enum Place {
    Own(Vec<String>),
    Other(Vec<String>),
}

impl Package {
    /// Reads the sources of a package, given the names of the crates it depends on.
    ///
    /// # Errors
    /// If a source is not made of Rust tokens.
    pub fn read<'a>(
        name: &str,
        dependencies: impl IntoIterator<Item = &'a str>,
        sources: Vec<Source>,
    ) -> Result<Self, String> {
        let mut modules = BTreeMap::new();
        let has_library = sources.iter().any(|source| source.path == "src/lib.rs");
        for source in &sources {
            let Some(path) = module_path(&source.path, has_library) else {
                continue;
            };
            let parsed = parse(&source.text, path)
                .map_err(|error| format!("{name}/{}: {error}", source.path))?;
            for module in parsed {
                modules.insert(module.path.clone(), (source.path.clone(), module));
            }
        }
        let dependencies = dependencies.into_iter().map(|name| name.replace('-', "_"));
        let crates = dependencies.chain(STANDARD.map(str::to_owned)).collect();
        let mut package = Self { name: name.to_owned(), sources, crates, modules };
        package.remove_tests();
        Ok(package)
    }

    /// Top-level modules in order, without the roots.
    pub fn top_level(&self) -> impl Iterator<Item = &str> {
        let is_top = |path: &&Vec<String>| path.len() == 1 && path[0] != "main";
        self.modules.keys().filter(is_top).map(|path| path[0].as_str())
    }

    /// References to other crates and to other top-level modules, in the order of the files.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        for (file, module) in self.modules.values() {
            let from = top_of(&module.path);
            let imported = module.imports.iter().map(|import| (&import.path, import.line));
            let named = module.paths.iter().map(|(path, line)| (path, *line));
            for (path, line) in imported.chain(named) {
                let Some(place) = self.resolve(module, path, MAX_HOPS) else {
                    continue;
                };
                let (target, path) = match place {
                    Place::Own(path) => {
                        let full = [&["crate".to_owned()], &path[..]].concat().join("::");
                        (Target::Module(self.owner_of(&path)), full)
                    }
                    Place::Other(path) => (Target::Crate(path[0].clone()), path.join("::")),
                };
                if target != Target::Module(from.clone()) {
                    let (file, from) = (file.clone(), from.clone());
                    found.push(Reference { file, line, from, target, path });
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Calls of methods without arguments, in the order of the files.
    #[must_use]
    pub fn bare_calls(&self) -> Vec<BareCall> {
        let mut found = Vec::new();
        for (file, module) in self.modules.values() {
            found.extend(module.bare_calls.iter().map(|(method, line)| BareCall {
                file: file.clone(),
                line: *line,
                from: top_of(&module.path),
                method: method.clone(),
            }));
        }
        found.sort();
        found
    }

    /// Dependencies that no source names.
    #[must_use]
    pub fn unused_dependencies(&self) -> Vec<&str> {
        let references = self.references();
        let is_named = |name: &&String| {
            references.iter().any(|found| found.target == Target::Crate((*name).clone()))
                || self.modules.values().any(|(_, module)| module.names.contains(*name))
        };
        let dependencies = self.crates.iter().filter(|name| !STANDARD.contains(&name.as_str()));
        dependencies.filter(|name| !is_named(name)).map(String::as_str).collect()
    }

    /// Removes the modules that are compiled for tests only, with those below them.
    fn remove_tests(&mut self) {
        let mut roots = Vec::new();
        for (_, module) in self.modules.values() {
            for name in module.test_children.difference(&module.children) {
                roots.push([&module.path[..], std::slice::from_ref(name)].concat());
            }
        }
        self.modules.retain(|path, _| !roots.iter().any(|root| path.starts_with(root)));
    }

    /// Finds out where a path leads. `None` for a path that starts with a type, or with an item of
    /// the same module.
    fn resolve(&self, from: &Module, path: &[String], hops: usize) -> Option<Place> {
        let hops = hops.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "" => return Some(Place::Other(rest.to_vec())).filter(|_| !rest.is_empty()),
            "crate" => return self.own(rest.to_vec(), hops),
            "self" => return self.own([&from.path, rest].concat(), hops),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                let kept = from.path.len().checked_sub(ups)?;
                return self.own([&from.path[..kept], &path[ups..]].concat(), hops);
            }
            _ => {}
        }
        if from.children.contains(first) {
            return self.own([&from.path, path].concat(), hops);
        }
        if let Some(origin) = self.import_of(from, first) {
            return self.resolve(from, &[origin, rest].concat(), hops);
        }
        if let Some(place) = self.through_globs(from, path, hops) {
            return Some(place);
        }
        if *first == self.name.replace('-', "_") {
            return self.own(rest.to_vec(), hops);
        }
        self.crates.contains(first).then(|| Place::Other(path.to_vec()))
    }

    /// Origin of an imported name. An import of a crate by its own name leads nowhere else.
    fn import_of<'a>(&self, module: &'a Module, name: &str) -> Option<&'a [String]> {
        let import = module.imports.iter().find(|import| {
            import.name.as_deref() == Some(name)
                && import.path.first().is_some_and(|first| first != name)
        })?;
        Some(&import.path)
    }

    /// Resolves a path whose first name comes from a glob of a module of this package.
    fn through_globs(&self, from: &Module, path: &[String], hops: usize) -> Option<Place> {
        let globs = from.imports.iter().filter(|import| import.name.is_none());
        globs.filter(|import| import.path.first() != path.first()).find_map(|import| {
            let Place::Own(parent) = self.resolve(from, &import.path, hops)? else {
                return None;
            };
            let (_, module) = self.modules.get(&parent)?;
            let is_known = module.children.contains(&path[0])
                || module.imports.iter().any(|import| import.name.as_ref() == Some(&path[0]));
            is_known.then(|| self.resolve(module, path, hops))?
        })
    }

    /// Place of a path from the root, with the re-exports of the root followed.
    fn own(&self, path: Vec<String>, hops: usize) -> Option<Place> {
        let root = self.modules.get(&Vec::new()).map(|(_, module)| module);
        match (root, path.first()) {
            (Some(root), Some(first)) if !root.children.contains(first) => {
                match self.import_of(root, first) {
                    Some(origin) => self.resolve(root, &[origin, &path[1..]].concat(), hops),
                    None => Some(Place::Own(path)),
                }
            }
            _ => Some(Place::Own(path)),
        }
    }

    /// Top-level module that a path from the root leads to.
    fn owner_of(&self, path: &[String]) -> String {
        match path.first() {
            Some(first) if self.modules.contains_key(&path[..1]) => first.clone(),
            _ => "lib".to_owned(),
        }
    }
}

/// Module of a file. `None` for a file that belongs to no library or program.
fn module_path(file: &str, has_library: bool) -> Option<Vec<String>> {
    let path = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    match path {
        "lib" => Some(Vec::new()),
        "main" if !has_library => Some(Vec::new()),
        _ => Some(path.split('/').map(str::to_owned).collect()),
    }
}

/// Top-level module of a path; `lib` for the root.
fn top_of(path: &[String]) -> String {
    path.first().cloned().unwrap_or_else(|| "lib".to_owned())
}
