#include "tools/qanat/live.hh"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "tools/qanat/command_error.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kWatch = "--watch";
constexpr std::size_t kBar = 30;
// What only looks: of `qanat NOUN VERB`, either word.
constexpr std::array kLooks{"status"sv,  "list"sv,      "show"sv,    "plans"sv,   "bill"sv,   "leases"sv,
                            "history"sv, "misses"sv,    "ahead"sv,   "links"sv,   "report"sv, "transfers"sv,
                            "trace"sv,   "statement"sv, "resolve"sv, "explain"sv, "doctor"sv, "whatif"sv};

std::size_t rows() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : 24u;
}

// What a command prints, both its outputs, in the order in which it prints them.
std::string printed(const std::function<int()>& command) {
  const int file = ::memfd_create("qanat", MFD_CLOEXEC);
  if (file < 0) throw std::system_error(errno, std::system_category(), "memfd_create");
  std::fflush(stdout);
  std::fflush(stderr);
  const int out = ::dup(STDOUT_FILENO), err = ::dup(STDERR_FILENO);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  command();
  std::fflush(stdout);
  std::fflush(stderr);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::close(out);
  ::close(err);
  const off_t length = ::lseek(file, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::max<off_t>(length, 0)), '\0');
  const ssize_t got = ::pread(file, text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  ::close(file);
  return text;
}

}  // namespace

std::optional<std::chrono::milliseconds> take_watch(int& argc, char** argv) {
  char** const end = argv + argc;
  char** const found = std::find_if(
      argv, end, [](std::string_view word) { return word == kWatch || word.starts_with("--watch="); });
  // What stands behind -- is somebody else's.
  if (found == end || std::find(argv, found, "--"sv) != found) return std::nullopt;
  const std::string_view word = *found;
  double seconds = 2;
  if (word.size() > kWatch.size()) {
    const std::string_view given = word.substr(kWatch.size() + 1);
    const auto [at, error] = std::from_chars(given.data(), given.data() + given.size(), seconds);
    if (error != std::errc{} || at != given.data() + given.size() || !(seconds >= 0.1 && seconds <= 86400))
      throw CommandError{kWrongUsage, fmt::format("--watch: \"{}\" is no number of seconds from 0.1", given),
                         "--watch, or --watch=5"};
  }
  const auto looks = [](std::string_view w) {
    return std::find(kLooks.begin(), kLooks.end(), w) != kLooks.end();
  };
  if (std::none_of(argv + 1, argv + std::min(argc, 3), looks))
    throw CommandError{kWrongUsage, "--watch goes with commands that only look",
                       "such as `qanat status --watch` or `qanat job list --watch=5`"};
  std::move(found + 1, end, found);
  argv[--argc] = nullptr;
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

void draw(const std::string& text) {
  static bool first = true;
  std::string screen = first ? "\033[H\033[2J" : "\033[H";
  first = false;
  std::size_t line = 1;
  for (const char c : text) {
    if (c != '\n') {
      screen += c;
      continue;
    }
    if (++line > rows()) break;
    screen += "\033[K\n";
  }
  screen += "\033[K\033[J";
  std::fwrite(screen.data(), 1, screen.size(), stdout);
  std::fflush(stdout);
}

void watch(std::chrono::milliseconds every, const std::function<int()>& command) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  for (;;) {
    if (terminal) set_terminal_width(terminal_width());
    const std::string text = printed(command);
    if (terminal) {
      set_terminal_width(std::nullopt);
      draw(text);
    } else {
      fmt::print("{}\n", text);
      std::fflush(stdout);
    }
    std::this_thread::sleep_for(every);
  }
}

Progress::~Progress() {
  if (open_) fmt::print(stderr, "\n");
}

void Progress::show(double done, double of, const std::string& rest) {
  if (!shown_) return;
  const double share = of > 0 ? std::clamp(done / of, 0.0, 1.0) : 1.0;
  if (::isatty(STDERR_FILENO) != 1) {
    const int tenth = static_cast<int>(share * 10);
    if (std::exchange(last_tenth_, tenth) != tenth) fmt::print(stderr, "{:3.0f} %  {}\n", share * 100, rest);
    return;
  }
  const auto full = static_cast<std::size_t>(share * kBar);
  fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {:3.0f} %  {}\033[K", "", full, "", kBar - full, share * 100, rest);
  std::fflush(stderr);
  open_ = true;
}

}  // namespace qanat::cli
