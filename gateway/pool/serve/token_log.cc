#include "gateway/pool/serve/token_log.hh"

#include <fmt/format.h>

#include <cerrno>
#include <iterator>
#include <system_error>

namespace qanat::pool {
namespace {

constexpr std::size_t kLinesBytes =
    8 << 20;  // written in one go: a write in mid-run would show in what is measured

}  // namespace

TokenLog::TokenLog(const std::string& path) : file_(std::fopen(path.c_str(), "we")) {
  if (!file_) throw std::system_error(errno, std::generic_category(), "open the token log " + path);
  lines_.reserve(kLinesBytes + 4096);
}

TokenLog::~TokenLog() { flush(); }

void TokenLog::submitted(std::uint32_t station, const Call& call, base::Time now) {
  fmt::format_to(std::back_inserter(lines_), "submit {} {} {} {} {} {}", station, call.id,
                 now.time_since_epoch().count(), call.prompt_tokens, call.output_tokens, call.priority);
  for (const BlockHash block : call.blocks) fmt::format_to(std::back_inserter(lines_), " {:x}", block);
  lines_ += '\n';
  full();
}

void TokenLog::cancelled(CallId call, base::Time now) {
  fmt::format_to(std::back_inserter(lines_), "cancel {} {}\n", call, now.time_since_epoch().count());
}

void TokenLog::token(const TokenEvent& event) {
  fmt::format_to(std::back_inserter(lines_), "token {} {} {}\n", event.call, event.index,
                 event.at.time_since_epoch().count());
  full();
}

void TokenLog::wrote(CallId call, std::uint32_t index, base::Duration late) {
  fmt::format_to(std::back_inserter(lines_), "wrote {} {} {}\n", call, index, late.count());
}

void TokenLog::full() {
  if (lines_.size() >= kLinesBytes) flush();
}

void TokenLog::flush() {
  std::fwrite(lines_.data(), 1, lines_.size(), file_.get());
  std::fflush(file_.get());
  lines_.clear();
}

}  // namespace qanat::pool
