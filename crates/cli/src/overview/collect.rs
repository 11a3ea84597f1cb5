//! The first pass over a data set: counts, distributions, and what a list of its records needs.
//!
//! In: files and a [`SampleMaker`]. Out: an [`Overview`] whose counts are those of `prepare`. Keeps a few numbers of each
//! record and none of its text.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;

use toolsmith_chat::check::Finding;
use toolsmith_prepare::{
    Chunk, PipelineOptions, Place, PrepareError, Record, RecordFormat, SampleMaker, Summary, map_chunks,
};

use super::counts::Counts;
use super::made::{Made, trained_tokens};

/// The files of a data set, and how their records are read and made into samples.
pub(crate) struct Dataset<'a> {
    /// The files.
    pub(crate) files: &'a [PathBuf],
    /// The format of each; recognised record by record where there is none.
    pub(crate) formats: &'a [Option<RecordFormat>],
    /// How samples are made.
    pub(crate) maker: &'a SampleMaker<'a>,
    /// How the passes run.
    pub(crate) pipeline: PipelineOptions,
}

impl Dataset<'_> {
    /// The format of the records of this file.
    pub(crate) fn format_of(&self, file: usize) -> Option<&RecordFormat> {
        self.formats.get(file).and_then(Option::as_ref).or(self.maker.options.format.as_ref())
    }
}

/// What is told of a whole data set.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// What `prepare` counts.
    pub(crate) summary: Summary,
    /// Records of each file.
    pub(crate) records_by_file: Vec<usize>,
    /// Tokens of each sample.
    pub(crate) lengths: Counts,
    /// Trained tokens of each sample in percent, rounded up: zero means none.
    pub(crate) shares: Counts,
    /// Tool calls of each conversation that could be read.
    pub(crate) calls: Counts,
    /// Every tool that is offered or called; [`RecordFacts::called`] has indices into it.
    pub(crate) tools: Vec<ToolFacts>,
    /// Every rule that found something; [`RecordFacts::codes`] has indices into it.
    pub(crate) codes: Vec<CodeFacts>,
    /// Every record, in input order.
    pub(crate) records: Vec<RecordFacts>,
}

impl Overview {
    /// The tools, most called first.
    pub(crate) fn tools_by_calls(&self) -> impl Iterator<Item = &ToolFacts> {
        let mut tools: Vec<_> = self.tools.iter().collect();
        tools.sort_by_key(|tool| (Reverse(tool.calls), Reverse(tool.offered_in), &tool.name));
        tools.into_iter()
    }
}

/// A tool by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolFacts {
    /// The name that calls use.
    pub(crate) name: String,
    /// How often it is called.
    pub(crate) calls: usize,
    /// In how many conversations it is called.
    pub(crate) called_in: usize,
    /// In how many conversations it is offered.
    pub(crate) offered_in: usize,
}

/// A rule that found something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodeFacts {
    /// Its stable name.
    pub(crate) code: String,
    /// How many records it refused.
    pub(crate) refused: usize,
    /// How many records it only warned about.
    pub(crate) warned: usize,
}

/// What a list needs to know of a record.
#[derive(Debug, Clone)]
pub(crate) struct RecordFacts {
    /// Index of its file.
    pub(crate) file: usize,
    /// Where in the file.
    pub(crate) place: Place,
    /// Its size in the file.
    pub(crate) bytes: usize,
    /// Whether it gives no sample.
    pub(crate) refused: bool,
    /// Its samples; of a refused record, those that it would have given.
    pub(crate) samples: Vec<SampleSize>,
    /// The rules that found something, each once.
    pub(crate) codes: Vec<usize>,
    /// The tools called, each once.
    pub(crate) called: Vec<usize>,
    /// How many calls there are, where it is a conversation.
    pub(crate) calls: Option<usize>,
}

/// The size of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleSize {
    /// All its tokens.
    pub(crate) tokens: usize,
    /// Those that are trained.
    pub(crate) trained: usize,
}

/// One record on its way from a worker.
struct Seen {
    place: Place,
    bytes: usize,
    refused: bool,
    compared: bool,
    findings: Vec<Finding>,
    samples: Vec<SampleSize>,
    /// Tools offered and called by name, where the record is a conversation.
    tools: Option<(Vec<String>, Vec<String>)>,
}

/// Reads all records; `progress` hears how many bytes were read.
pub(crate) fn collect(
    dataset: &Dataset<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Overview, PrepareError> {
    let names: Vec<String> = dataset.files.iter().map(|path| path.display().to_string()).collect();
    let mut collector = Collector::default();
    collector.overview.records_by_file = vec![0; names.len()];
    let work = |chunk: Chunk| {
        let format = dataset.format_of(chunk.source);
        let seen = chunk.records.iter().map(|raw| {
            let made = Made::new(dataset.maker, format, raw);
            see(made, raw.place, raw.bytes.as_ref().map_or(0, Vec::len))
        });
        (chunk.source, seen.collect::<Vec<_>>())
    };
    map_chunks(dataset.files, &dataset.pipeline, &work, &mut |(file, seen), bytes_read| {
        for record in seen {
            collector.add(file, &names[file], record);
        }
        progress(bytes_read);
        Ok(())
    })?;
    Ok(collector.overview)
}

fn see(made: Made, place: Place, bytes: usize) -> Seen {
    let samples = made
        .samples
        .iter()
        .map(|sample| SampleSize { tokens: sample.input_ids.len(), trained: trained_tokens(sample) });
    let tools = match &made.record {
        Some(Record::Conversation(conversation)) => {
            let offered = conversation.tools().iter().filter_map(|tool| tool.name().map(str::to_owned));
            let calls = conversation.messages.iter().flat_map(|message| &message.tool_calls);
            Some((offered.collect(), calls.map(|call| call.name.clone()).collect()))
        }
        _ => None,
    };
    Seen {
        place,
        bytes,
        refused: made.refused,
        compared: made.compared,
        samples: samples.collect(),
        findings: made.findings,
        tools,
    }
}

#[derive(Default)]
struct Collector {
    overview: Overview,
    tool_index: HashMap<String, usize>,
    code_index: HashMap<String, usize>,
}

impl Collector {
    fn add(&mut self, file: usize, name: &str, seen: Seen) {
        let overview = &mut self.overview;
        overview.records_by_file[file] += 1;
        overview.summary.conversations += 1;
        overview.summary.compared += usize::from(seen.compared);
        if !seen.refused {
            for sample in &seen.samples {
                count_sample(overview, *sample);
            }
        }
        let codes = seen.findings.iter().map(|reason| self.code(reason.code.as_str())).collect();
        let codes = each_once(codes);
        let (called, calls) = self.count_tools(seen.tools.as_ref());
        let overview = &mut self.overview;
        for &code in &codes {
            let facts = &mut overview.codes[code];
            if seen.refused { facts.refused += 1 } else { facts.warned += 1 }
        }
        overview.records.push(RecordFacts {
            file,
            place: seen.place,
            bytes: seen.bytes,
            refused: seen.refused,
            samples: seen.samples,
            codes,
            called,
            calls,
        });
        if seen.refused {
            overview.summary.refuse(name, seen.place, seen.findings);
        } else {
            overview.summary.warn(name, seen.place, seen.findings);
        }
    }

    /// The tools called, each once, and the number of calls.
    fn count_tools(&mut self, tools: Option<&(Vec<String>, Vec<String>)>) -> (Vec<usize>, Option<usize>) {
        let Some((offered, calls)) = tools else { return (Vec::new(), None) };
        self.overview.calls.add(calls.len());
        let offered = offered.iter().map(|name| self.tool(name)).collect();
        for tool in each_once(offered) {
            self.overview.tools[tool].offered_in += 1;
        }
        let called: Vec<usize> = calls.iter().map(|name| self.tool(name)).collect();
        for &tool in &called {
            self.overview.tools[tool].calls += 1;
        }
        let called = each_once(called);
        for &tool in &called {
            self.overview.tools[tool].called_in += 1;
        }
        (called, Some(calls.len()))
    }

    fn tool(&mut self, name: &str) -> usize {
        index_of(&mut self.tool_index, &mut self.overview.tools, name, |name| ToolFacts {
            name,
            calls: 0,
            called_in: 0,
            offered_in: 0,
        })
    }

    fn code(&mut self, code: &str) -> usize {
        index_of(&mut self.code_index, &mut self.overview.codes, code, |code| CodeFacts {
            code,
            refused: 0,
            warned: 0,
        })
    }
}

fn count_sample(overview: &mut Overview, sample: SampleSize) {
    let summary = &mut overview.summary;
    summary.samples += 1;
    summary.tokens += sample.tokens;
    summary.trained_tokens += sample.trained;
    summary.longest = summary.longest.max(sample.tokens);
    overview.lengths.add(sample.tokens);
    overview.shares.add((100 * sample.trained).div_ceil(sample.tokens.max(1)));
}

fn index_of<T>(
    index: &mut HashMap<String, usize>,
    all: &mut Vec<T>,
    name: &str,
    new: impl FnOnce(String) -> T,
) -> usize {
    if let Some(&known) = index.get(name) {
        return known;
    }
    index.insert(name.to_owned(), all.len());
    all.push(new(name.to_owned()));
    all.len() - 1
}

fn each_once(mut indices: Vec<usize>) -> Vec<usize> {
    indices.sort_unstable();
    indices.dedup();
    indices
}
