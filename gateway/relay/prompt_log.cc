#include "gateway/relay/prompt_log.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::relay {
namespace {

constexpr std::uint64_t kDay_ms = 86'400'000;
constexpr std::string_view kBegin = "prompts-", kEnd = ".jsonl";

// "prompts-2026-11-23.jsonl": names are in the order of their days.
std::string name_of(std::uint64_t day) {
  const std::time_t seconds = static_cast<std::time_t>(day * (kDay_ms / 1000));
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return std::string(kBegin) + text + std::string(kEnd);
}

}  // namespace

// One thread's.
class PromptLog::Files {
 public:
  explicit Files(const PromptLogConfig& config) : config_(config) {
    std::filesystem::create_directories(config_.folder);
    std::filesystem::permissions(config_.folder, std::filesystem::perms::owner_all);
  }
  ~Files() { close(); }

  // False: there is no more room today.
  bool append(std::uint64_t day, std::string_view line) {
    if (day != day_ || file_ < 0) turn_to(day);
    if (size_ + line.size() > config_.day_bytes) return false;
    size_ += line.size();
    while (!line.empty()) {
      const ssize_t n = ::write(file_, line.data(), line.size());
      if (n < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), config_.folder);
      if (n > 0) line.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void turn_to(std::uint64_t day) {
    close();
    day_ = day;
    const std::string oldest = name_of(day > config_.keep_days ? day - config_.keep_days : 0);
    for (const auto& entry : std::filesystem::directory_iterator(config_.folder)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(kBegin) && name.ends_with(kEnd) && name < oldest)
        std::filesystem::remove(entry.path());
    }
    const std::string path = config_.folder + "/" + name_of(day);
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file_ < 0) throw std::system_error(errno, std::generic_category(), path);
    size_ = std::filesystem::file_size(path);
  }

 private:
  void close() {
    if (file_ >= 0) ::close(std::exchange(file_, -1));
  }
  const PromptLogConfig& config_;
  int file_ = -1;
  std::uint64_t day_ = 0, size_ = 0;
};

PromptLog::PromptLog(PromptLogConfig config, base::MetricsRegistry& metrics, std::uint64_t now_unix_ms)
    : config_(std::move(config)),
      kept_(metrics.counter("qanat_gateway_prompts_total",
                            "Prompts that were to be logged, by what came of it", {{"result", "kept"}})),
      left_out_(metrics.counter("qanat_gateway_prompts_total",
                                "Prompts that were to be logged, by what came of it",
                                {{"result", "left_out"}})),
      files_(std::make_unique<Files>(config_)) {
  files_->turn_to(now_unix_ms / kDay_ms);
}

PromptLog::~PromptLog() { thread_.join(); }

void PromptLog::put(std::uint64_t now_unix_ms, const std::string& call, const admit::KeyInfo& key,
                    const std::string& model, std::string_view body) {
  std::string line = "{\"unix_ms\":" + std::to_string(now_unix_ms) + ",\"call\":" + json_string(call) +
                     ",\"tenant\":" + json_string(key.tenant) + ",\"project\":" + json_string(key.project) +
                     ",\"key\":" + json_string(key.id) + ",\"model\":" + json_string(model) +
                     ",\"body\":" + std::string(body) + "}";
  // A body may be written over several lines; in its texts a line feed is "\n".
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  if (waiting_ + line.size() > kMaxWaiting) return left_out_.add();
  waiting_ += line.size();
  boost::asio::post(thread_, [this, day = now_unix_ms / kDay_ms, line = std::move(line)] {
    bool kept = false;
    try {
      kept = files_->append(day, line);
    } catch (const std::exception& e) {
      base::log_error("prompts are not logged: {}", e.what());
    }
    (kept ? kept_ : left_out_).add();
    waiting_ -= line.size();
  });
}

}  // namespace qanat::relay
