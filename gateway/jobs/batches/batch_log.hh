// BatchLog: what came of a batch's lines so far, on disk, as the two files that its tenant gets: FOLDER/ID.output.jsonl,
// FOLDER/ID.errors.jsonl. A line that was cut off by a crash is none.
// Blocking; one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace qanat::jobs {

class BatchLog {
 public:
  enum class To : std::uint8_t { Output, Errors };
  // Makes the folder, opens what is there. Throws std::system_error naming the path.
  BatchLog(const std::string& folder, std::string batch);
  ~BatchLog();
  BatchLog(const BatchLog&) = delete;
  BatchLog& operator=(const BatchLog&) = delete;

  // A whole line, durable on return. Throws std::system_error.
  void append(To to, std::string_view line);
  // The batch's lines that were there when it was opened.
  const std::set<std::size_t>& lines(To to) const { return lines_[index(to)]; }
  const std::string& path(To to) const { return paths_[index(to)]; }
  void remove();

 private:
  static std::size_t index(To to) { return static_cast<std::size_t>(to); }
  void open(To to, const std::string& batch);

  std::array<std::string, 2> paths_;
  std::array<int, 2> files_{-1, -1};
  std::array<std::set<std::size_t>, 2> lines_;
};

}  // namespace qanat::jobs
