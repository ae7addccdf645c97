#include "base/sse.hh"

#include <algorithm>

#include "base/errc.hh"

namespace qanat::base {

Result<void> SseParser::feed(std::string_view bytes, std::vector<SseEvent>& out) {
  if (spent_) return make_error_code(Errc::TooLarge);
  const char* feed = nullptr;  // the next line feed, or the end
  while (!bytes.empty()) {
    if (after_cr_) {  // "\r\n" is one line end
      after_cr_ = false;
      if (bytes.front() == '\n') bytes.remove_prefix(1);
      if (bytes.empty()) break;
    }
    if (feed < bytes.data()) feed = bytes.data() + std::min(bytes.find('\n'), bytes.size());
    const auto before_feed = static_cast<std::size_t>(feed - bytes.data());
    std::size_t end = bytes.substr(0, before_feed).find('\r');
    if (end == std::string_view::npos && before_feed < bytes.size()) end = before_feed;
    const std::size_t part = std::min(end, bytes.size());
    if (line_.size() + part > max_line_) {
      spent_ = true;
      return make_error_code(Errc::TooLarge);
    }
    if (end == std::string_view::npos) {
      line_.append(bytes);
      break;
    }
    std::string_view line = bytes.substr(0, part);
    after_cr_ = bytes[part] == '\r';
    bytes.remove_prefix(part + 1);
    if (!line_.empty()) line = line_.append(line);  // it began in an earlier piece
    const bool fits = on_line(line, out);
    line_.clear();
    if (!fits) {
      spent_ = true;
      return make_error_code(Errc::TooLarge);
    }
  }
  return {};
}

bool SseParser::on_line(std::string_view line, std::vector<SseEvent>& out) {
  if (at_start_ && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  at_start_ = false;
  if (line.empty()) {
    if (has_data_) out.push_back(std::move(event_));
    event_ = {};
    has_data_ = false;
    return true;
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (event_.data.size() + value.size() + 1 > max_event_) return false;
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  } else if (field == "event") {
    event_.name = value;
  } else if (field == "id") {
    event_.id = value;
  }
  return true;  // comments and unknown fields are skipped
}

}  // namespace qanat::base
