// SseParser: server-sent events out of bytes that arrive in any pieces (WHATWG HTML §9.2), bounded.
// Sans-I/O: feed it what was read; used on streams of pools and by the CLI.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace qanat::base {

struct SseEvent {
  std::string name;  // "event:", empty when there was none
  std::string data;  // "data:" lines joined by "\n"
  std::string id;
};

class SseParser {
 public:
  explicit SseParser(std::size_t max_line = 256 * 1024, std::size_t max_event = 1024 * 1024)
      : max_line_(max_line), max_event_(max_event) {}
  // Appends the events that these bytes complete. TooLarge when a line or an event outgrows its bound; the
  // parser is then spent.
  Result<void> feed(std::string_view bytes, std::vector<SseEvent>& out);

 private:
  bool on_line(std::string_view line, std::vector<SseEvent>& out);

  std::size_t max_line_;
  std::size_t max_event_;
  std::string line_;  // the unfinished line
  SseEvent event_;    // the unfinished event
  bool has_data_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;  // a byte order mark may come
  bool spent_ = false;
};

}  // namespace qanat::base
