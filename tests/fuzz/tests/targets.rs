//! Each fuzz target holds for its seeds, and for some variants of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fuzz::{TARGETS, Target};
use proptest::{prelude::*, test_runner::TestRunner};

/// Variants of the seeds of each target.
const VARIANTS: u32 = 1_000;
/// Longest seed that is varied: the checks of a long calendar take long in a debug build.
const LONGEST: usize = 4_000;

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).expect("a target")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn seeds(target: Target) -> Vec<Vec<u8>> {
    let folders = target.seeds.iter().map(|folder| root().join(folder));
    let files = folders.flat_map(|folder| files(&folder));
    files.map(|file| fs::read(file).expect("a seed")).collect()
}

/// Words of the dictionary of a target, as libFuzzer reads them.
fn words(target: Target) -> Vec<Vec<u8>> {
    let path = format!("tests/fuzz/dictionaries/{}.dict", target.name);
    let text = fs::read_to_string(root().join(path)).expect("a dictionary");
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let escapes = [("\\x0d", "\r"), ("\\x0a", "\n"), ("\\\"", "\""), ("\\\\", "\\")];
    let words = quoted.map(|word| {
        escapes.iter().fold(word.to_owned(), |word, (escape, text)| word.replace(escape, text))
    });
    words.map(String::into_bytes).collect()
}

/// A seed in which some parts are removed, and words, bytes or parts of other seeds inserted.
fn variants(target: Target) -> impl Strategy<Value = Vec<u8>> {
    let mut seeds = seeds(target);
    seeds.retain(|seed| seed.len() <= LONGEST);
    let part = (prop::sample::select(seeds.clone()), any::<(prop::sample::Index, u8)>()).prop_map(
        |(seed, (at, length))| {
            let at = at.index(seed.len().max(1));
            seed[at..(at + usize::from(length % 64)).min(seed.len())].to_vec()
        },
    );
    let inserted = prop_oneof![
        4 => prop::sample::select(words(target)),
        2 => part,
        2 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    let splice = (any::<prop::sample::Index>(), 0_usize..20, inserted);
    (prop::sample::select(seeds), prop::collection::vec(splice, 1..6)).prop_map(
        |(mut input, splices)| {
            for (at, removed, inserted) in splices {
                let at = at.index(input.len() + 1);
                let end = (at + removed).min(input.len());
                input.splice(at..end, inserted);
            }
            input
        },
    )
}

fn run(name: &str) {
    let target = target(name);
    for seed in seeds(target) {
        (target.run)(&seed);
    }
    let config =
        ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(VARIANTS) };
    let run = TestRunner::new(config).run(&variants(target), |input| {
        (target.run)(&input);
        Ok(())
    });
    assert_eq!(run.map_err(|failure| failure.to_string()), Ok(()));
}

#[test]
fn recurrence_rules_hold() {
    run("recurrence_rule");
}

#[test]
fn calendar_files_hold() {
    run("calendar_file");
}

#[test]
fn times_hold() {
    run("times");
}

#[test]
fn occurrence_edits_hold() {
    run("occurrence_edit");
}

/// `make fuzz` finds targets by their binaries, seeds and dictionaries.
#[test]
fn each_target_has_binary_and_seeds() {
    let mut binaries: Vec<_> = files(&root().join("tests/fuzz/src/bin"))
        .iter()
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    binaries.sort();
    let mut names = TARGETS.map(|target| target.name);
    names.sort_unstable();
    assert_eq!(binaries, names);
    for target in TARGETS {
        assert!(target.seeds[0].ends_with(target.name) && seeds(target).len() >= 5);
        assert!(words(target).len() >= 10, "{}", target.name);
    }
}
