// read_batch: a file of requests, one a line, as OpenAI's batches have it: which lines there are, and what is wrong with
// them. Sans-I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::jobs {

inline constexpr std::size_t kMaxBatchLines = 50'000;
inline constexpr std::size_t kMaxBatchBytes = 100 * 1024 * 1024;
inline constexpr std::size_t kMaxBatchProblems = 100;  // that are told of one file

struct BatchLine {
  std::size_t offset = 0, length = 0;  // in the file
};

struct BatchProblem {
  std::string code, message;
  std::string param;       // empty: the line, or the file, as a whole
  std::uint64_t line = 0;  // 1 …; 0: the file
};

struct BatchInput {
  std::vector<BatchLine> lines;  // all that are not empty
  std::vector<BatchProblem> problems;
};

// Each line is {"custom_id", "method":"POST", "url": `endpoint`, "body":{…}}, its custom_id its own. Total on any bytes.
BatchInput read_batch(std::string_view file, std::string_view endpoint);

// Of a line that read_batch found good.
struct BatchRequest {
  std::string custom_id, body;
};
BatchRequest request_of(std::string_view line);

// Lines of the files that come of it. `id`: of the request.
std::string answer_line(std::string_view id, std::string_view custom_id, int status,
                        std::string_view request_id, std::string_view body);
std::string error_line(std::string_view id, std::string_view custom_id, std::string_view code,
                       std::string_view message);

// "batch_req_NAME_17": of the 18th line of the batch batch_NAME.
std::string batch_request_id(std::string_view batch, std::size_t line);
// The line that a line of a file is the answer to; nothing if it is not one of this batch.
std::optional<std::size_t> answered_line(std::string_view answer, std::string_view batch);

}  // namespace qanat::jobs
