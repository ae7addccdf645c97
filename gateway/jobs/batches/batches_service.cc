#include "gateway/jobs/batches/batches_service.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "gateway/jobs/batches/batch.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr base::Duration kBetweenLooks = std::chrono::milliseconds{100};
constexpr base::Duration kLongestRest = std::chrono::seconds{30};  // before a line is called again
constexpr base::Duration kTroubleRest = std::chrono::seconds{5};   // before a batch is taken up again
constexpr int kPoolTries = 5;                                      // of a line whose pools fail

// A batch's folder of the store.
std::string folder_of(const Desk& desk) { return desk.store.config().folder + "/batches"; }

// A file on disk as an artefact, a chunk at a time.
Result<std::pair<Digest, std::uint64_t>> store_file(ChunkStore& store, const std::string& path) {
  Manifest manifest;
  std::string chunk(kChunkBytes, '\0');
  for (const bool keep : {false, true}) {
    std::ifstream in(path, std::ios::binary);
    if (keep)
      if (const auto begun = store.begin(artefact_id(manifest), manifest); !begun) return begun.error();
    for (std::size_t n = 0; in; ++n) {
      in.read(chunk.data(), static_cast<std::streamsize>(kChunkBytes));
      const std::string_view bytes(chunk.data(), static_cast<std::size_t>(in.gcount()));
      if (bytes.empty()) break;
      if (!keep) {
        manifest.size += bytes.size();
        manifest.chunks.push_back(sha256(bytes));
      } else if (const auto put = store.put(artefact_id(manifest), n, bytes); !put) {
        return put.error();
      }
    }
  }
  return std::pair(artefact_id(manifest), manifest.size);
}

// A refusal that is over when time has passed: a budget that is used up, or a call that never fits, says that it is not.
bool passes(const base::ClientResponse& answer) {
  return (answer.status == 429 || answer.status == 503) &&
         answer.headers.value_or("x-should-retry", "") != "false";
}

}  // namespace

BatchesService::BatchesService(Desk& desk, base::MetricsRegistry& metrics)
    : desk_(desk),
      answered_(metrics.counter("qanat_gateway_batch_lines_total", "Lines of batches, by what came of them",
                                {{"result", "answered"}})),
      failed_(metrics.counter("qanat_gateway_batch_lines_total", "Lines of batches, by what came of them",
                              {{"result", "failed"}})),
      repeated_(metrics.counter("qanat_gateway_batch_repeats_total",
                                "Calls of batches' lines that were made again")) {}

awaitable<void> BatchesService::keep(BatchPtr b) {
  ordered_json body;
  body["doc"] = b->shown();
  Document kept = b->document(std::move(body));
  co_await desk_.save("batch", std::move(kept));
}

void BatchesService::start() { asio::co_spawn(desk_.io, run(shared_from_this()), asio::detached); }

// Those of a former process first, then whatever comes, oldest first.
awaitable<void> BatchesService::run(Self self) {
  co_await take_up();
  while (!desk_.stopping) {
    while (working_ < kBatches) {
      BatchPtr oldest;
      for (const auto& [id, batch] : batches_)
        if (!batch->being_worked_on && (!oldest || batch->created_ms < oldest->created_ms)) oldest = batch;
      if (!oldest) break;
      oldest->being_worked_on = true;
      ++working_;
      asio::co_spawn(desk_.io, work(self, oldest), asio::detached);
    }
    co_await rest(desk_.io, kBetweenLooks);
  }
}

awaitable<void> BatchesService::take_up() {
  for (const Document& d : co_await desk_.list("batch", "")) {
    auto b = std::make_shared<Batch>();
    const ordered_json kept = b->restore(d);
    if (!kept.is_object()) continue;
    b->doc = kept["doc"];
    if (!b->over()) batches_.emplace(b->id, std::move(b));
  }
}

awaitable<void> BatchesService::work(Self self, BatchPtr b) {
  try {
    if (co_await open(b)) {
      for (std::size_t i = 0; i < kLanes; ++i) {
        ++b->lanes;
        asio::co_spawn(desk_.io, lane(self, b), asio::detached);
      }
      while (b->lanes > 0 && !desk_.stopping) co_await rest(desk_.io, kBetweenLooks);
      if (!desk_.stopping) co_await close(b);
    }
  } catch (const std::exception& e) {
    base::log_error("{}: {}; it is taken up again", b->id, e.what());
  }
  if (b->over()) {
    batches_.erase(b->id);
  } else if (!desk_.stopping) {
    co_await rest(desk_.io, kTroubleRest);
    b->being_worked_on = false;
  }
  --working_;
}

// Its file is read and judged, and what came of it before is found; false: there is nothing to call.
awaitable<bool> BatchesService::open(BatchPtr b) {
  const auto file = co_await desk_.find_file(b->doc.value("input_file_id", ""), b->payer.tenant);
  BatchInput found;
  if (!file || file->tenant != b->payer.tenant) {
    found.problems.push_back({"invalid_input_file", "the input file is not there any more", "", 0});
  } else {
    b->input.clear();
    b->next = b->answered = b->failed = 0;
    const auto read = [b, id = file->artefact, endpoint = b->doc.value("endpoint", ""),
                       folder = folder_of(desk_)](Shelf& shelf) {
      const auto manifest = shelf.chunks.manifest(id);
      for (std::size_t n = 0; manifest && n < manifest->chunks.size(); ++n)
        if (const auto bytes = shelf.chunks.get(id, n)) b->input += *bytes;
      b->log = std::make_shared<BatchLog>(folder, b->id);
      return read_batch(b->input, endpoint);
    };
    found = co_await desk_.store.thread().run(read);
  }
  if (!found.problems.empty()) {
    ordered_json list = ordered_json::array();
    for (const BatchProblem& p : found.problems)
      list.push_back({{"code", p.code},
                      {"message", p.message},
                      {"param", p.param.empty() ? ordered_json() : ordered_json(p.param)},
                      {"line", p.line == 0 ? ordered_json() : ordered_json(p.line)}});
    b->doc["errors"] = {{"object", "list"}, {"data", std::move(list)}};
    b->input.clear();
    if (b->log) b->log->remove();
    b->enter("failed", "failed_at");
    co_await keep(b);
    co_return false;
  }
  b->lines = std::move(found.lines);
  b->over_lines.assign(b->lines.size(), false);
  for (const auto to : {BatchLog::To::Output, BatchLog::To::Errors})
    for (const std::size_t line : b->log->lines(to))
      if (line < b->lines.size() && !b->over_lines[line]) {
        b->over_lines[line] = true;
        ++(to == BatchLog::To::Output ? b->answered : b->failed);
      }
  if (b->status() == "validating") {
    b->enter("in_progress", "in_progress_at");
    co_await keep(b);
  }
  co_return true;
}

awaitable<void> BatchesService::lane(Self self, BatchPtr b) {
  try {
    while (!desk_.stopping && !b->closing() && b->next < b->lines.size()) {
      const std::size_t line = b->next++;
      if (!b->over_lines[line]) co_await call(b, line);
    }
  } catch (const std::exception& e) {
    base::log_error("{}: {}", b->id, e.what());
  }
  --b->lanes;
}

// Until it has an answer, or an error that time does not mend.
awaitable<void> BatchesService::call(BatchPtr b, std::size_t line) {
  base::Duration wait = std::chrono::milliseconds{500};
  for (int pool_tries = 1; !desk_.stopping;) {
    auto answer = co_await perform(b->id, line, b->request(line).body);
    if (desk_.stopping || b->over_lines[line]) co_return;
    const json said = answer ? json::parse(answer->body, nullptr, false) : json();
    const json error = said.is_object() ? said.value("error", json::object()) : json::object();
    const auto word = [&error](const char* key, const char* otherwise) {
      return error.is_object() && error.contains(key) && error[key].is_string()
                 ? error[key].get<std::string>()
                 : otherwise;
    };
    const std::string code = word("code", "no_answer");
    const bool pools_fail = !answer || answer->status == 502 || answer->status == 500;
    const bool again = answer && passes(*answer);
    if (!again && !(pools_fail && pool_tries < kPoolTries)) {
      co_await fail(b, line, code, word("message", "the call was not answered"));
      co_return;
    }
    if (b->closing()) co_return;  // who closes it says what becomes of its lines
    if (pools_fail) ++pool_tries;
    repeated_.add();
    const std::string told(answer ? answer->headers.value_or("retry-after", "") : "");
    const base::Duration asked = std::chrono::seconds{std::clamp(std::atoi(told.c_str()), 0, 30)};
    co_await rest(desk_.io, std::max(wait, asked));
    wait = std::min(wait * 2, kLongestRest);
  }
}

awaitable<bool> BatchesService::keep_answer(std::string batch, std::size_t line, std::string body) {
  const auto found = batches_.find(batch);
  if (found == batches_.end()) co_return false;
  const BatchPtr b = found->second;
  const std::string id = batch_request_id(b->id, line);
  const auto append = [b, id, text = answer_line(id, b->request(line).custom_id, 200, id, body)](Shelf&) {
    try {
      b->log->append(BatchLog::To::Output, text);
      return true;
    } catch (const std::system_error& e) {
      base::log_error("{}: {}", id, e.what());
      return false;
    }
  };
  const bool kept = co_await desk_.store.thread().run(append);
  if (!kept) co_return false;
  b->over_lines[line] = true;
  ++b->answered;
  answered_.add();
  co_return true;
}

awaitable<void> BatchesService::fail(BatchPtr b, std::size_t line, std::string code, std::string message) {
  const auto append = [b, text = error_line(batch_request_id(b->id, line), b->request(line).custom_id, code,
                                            message)](Shelf&) {
    b->log->append(BatchLog::To::Errors, text);
    return true;
  };
  co_await desk_.store.thread().run(append);
  b->over_lines[line] = true;
  ++b->failed;
  failed_.add();
}

// The id of the file that it became; empty: there is nothing in it. Again is the same.
awaitable<std::string> BatchesService::hand_over(BatchPtr b, bool errors) {
  const std::string path = b->log->path(errors ? BatchLog::To::Errors : BatchLog::To::Output);
  const auto work = [path](Shelf& shelf) { return store_file(shelf.chunks, path); };
  const auto stored = co_await desk_.store.thread().run(work);
  if (!stored) throw boost::system::system_error(stored.error(), path);
  if (stored->second == 0) co_return "";
  File file;
  file.id = "file-" + b->id.substr(b->id.find('_') + 1) + (errors ? "e" : "o");
  file.tenant = b->payer.tenant;
  file.name = b->id + (errors ? "_errors.jsonl" : "_output.jsonl");
  file.purpose = "batch_output";
  file.status = "processed";
  file.artefact = stored->first;
  file.bytes = stored->second;
  file.created_unix_ms = unix_ms();
  co_await desk_.save_file(file);
  co_return file.id;
}

awaitable<void> BatchesService::close(BatchPtr b) {
  const bool cancelled = b->status() == "cancelling";
  const bool expired = !cancelled && b->expired() && b->answered + b->failed < b->lines.size();
  // A lane that met a full disk left lines behind.
  if (!cancelled && !expired && b->answered + b->failed < b->lines.size())
    throw std::runtime_error("lines are without an answer");
  for (std::size_t line = 0; expired && line < b->lines.size(); ++line)
    if (!b->over_lines[line])
      co_await fail(b, line, "batch_expired", "the batch's window ended before it was answered");
  if (!cancelled) b->enter("finalizing", "finalizing_at");
  co_await keep(b);
  for (const bool errors : {false, true})
    if (const std::string file = co_await hand_over(b, errors); !file.empty())
      b->doc[errors ? "error_file_id" : "output_file_id"] = file;
  if (cancelled)
    b->enter("cancelled", "cancelled_at");
  else if (expired)
    b->enter("expired", "expired_at");
  else
    b->enter("completed", "completed_at");
  b->input.clear();
  co_await keep(b);
  b->log->remove();
}

std::optional<BatchesService::Errand> BatchesService::errand(const std::string& batch,
                                                             std::size_t line) const {
  const auto found = batches_.find(batch);
  if (found == batches_.end() || line >= found->second->lines.size()) return std::nullopt;
  return Errand{found->second->payer, found->second->doc.value("endpoint", ""),
                batch_request_id(batch, line)};
}

std::vector<Task> BatchesService::tasks() const {
  std::vector<Task> out;
  for (const auto& [id, b] : batches_)
    out.push_back({id, b->payer.tenant, "batch", b->status(), desk_.gateway, b->answered + b->failed,
                   b->lines.size(), "lines"});
  return out;
}

awaitable<bool> BatchesService::cancel(std::string id) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) co_return false;
  const BatchPtr b = found->second;
  if (b->status() == "finalizing") co_return false;
  if (b->status() != "cancelling") b->enter("cancelling", "cancelling_at");
  co_await keep(b);
  co_return true;
}

}  // namespace qanat::jobs
