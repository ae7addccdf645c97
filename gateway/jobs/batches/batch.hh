// BatchesService::Batch: one batch that is not over, as the service holds it.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/time.hh"
#include "gateway/jobs/batches/batch_input.hh"
#include "gateway/jobs/batches/batch_log.hh"
#include "gateway/jobs/batches/batches_service.hh"
#include "gateway/jobs/kept_job.hh"

namespace qanat::jobs {

struct BatchesService::Batch : KeptJob {
  nlohmann::ordered_json doc;  // as OpenAI's API shows it
  std::string input;           // the file, while it is worked on
  std::vector<BatchLine> lines;
  std::vector<bool> over_lines;          // by line: there is an answer to it, or an error
  std::shared_ptr<BatchLog> log;         // the store's thread's
  std::size_t next = 0;                  // line that a lane takes
  std::size_t answered = 0, failed = 0;  // lines
  std::size_t lanes = 0;                 // that are at work
  bool being_worked_on = false;

  std::string status() const { return doc.value("status", ""); }
  // With the time of it, if the API tells one.
  void enter(const std::string& status, const char* at = nullptr) {
    doc["status"] = status;
    if (at) doc[at] = unix_ms() / 1000;
  }
  bool over() const {
    for (const char* end : {"failed", "completed", "expired", "cancelled"})
      if (doc["status"] == end) return true;
    return false;
  }
  bool expired() const { return unix_ms() / 1000 >= doc.value("expires_at", std::int64_t{0}); }
  // No further line is taken.
  bool closing() const { return doc["status"] != "in_progress" || expired(); }
  nlohmann::ordered_json shown() const {
    nlohmann::ordered_json out = doc;
    out["request_counts"] = {{"total", lines.size()}, {"completed", answered}, {"failed", failed}};
    return out;
  }
  BatchRequest request(std::size_t line) const {
    return request_of(std::string_view(input).substr(lines[line].offset, lines[line].length));
  }
};

}  // namespace qanat::jobs
