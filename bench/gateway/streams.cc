// Many streams at once: every token must come once, in order, in a frame of its own, and soon after the mock meant to
// send it.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <charconv>
#include <unordered_map>

#include "bench/gateway/wire.hh"

namespace qanat::bench {
namespace {

struct Stream {
  std::string rest;  // an unfinished line
  int next = 0;      // the token it waits for
  bool ended = false;
};

struct Count {
  std::uint64_t tokens = 0, wrong = 0, ended = 0, broken = 0;
  Samples late_us;
};

// One line of the answer, whatever framing it stands in.
void on_line(Stream& stream, std::string_view line, std::uint64_t now, Count& count) {
  if (line.starts_with("data: [DONE]")) {
    stream.ended = true;
    ++count.ended;
    return;
  }
  const std::size_t at = line.find("\"content\":\"#");
  if (!line.starts_with("data: ") || at == std::string_view::npos) return;
  const char* text = line.data() + at + 12;
  const char* end = line.data() + line.size();
  int number = -1;
  std::uint64_t due = 0;
  const auto [after, error] = std::from_chars(text, end, number);
  if (error != std::errc{} || std::from_chars(after + 1, end, due).ec != std::errc{} ||
      number != stream.next || line.find("\"content\":\"#", at + 12) != std::string_view::npos)
    ++count.wrong;
  stream.next = number + 1;
  ++count.tokens;
  count.late_us.add(now > due ? static_cast<double>(now - due) / 1000 : 0);
}

}  // namespace

int run_streams(const Asking& asking, int count, double seconds) {
  const int tokens = static_cast<int>(seconds * 10);
  const std::string request = request_of(asking, true, tokens);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::unordered_map<int, Stream> streams;
  std::vector<char> buffer(64 * 1024);
  epoll_event events[512];
  Count total;
  int opened = 0, under_way = 0, most = 0;
  const std::uint64_t begin = now_ns(), give_up = begin + static_cast<std::uint64_t>((seconds + 30) * 1e9);
  const std::uint64_t gap =
      2'000'000'000 / static_cast<std::uint64_t>(count);  // all of them begun in two seconds
  while (now_ns() < give_up && (opened < count || under_way > 0)) {
    while (opened < count && now_ns() >= begin + static_cast<std::uint64_t>(opened) * gap) {
      const int fd = dial(asking.port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
      streams[fd] = {};
      if (!send_all(fd, request)) ++total.broken;
      ++opened;
      most = std::max(most, ++under_way);
    }
    const std::uint64_t now = now_ns();
    const int ready =
        wait_until(poll, events, 512,
                   opened < count ? begin + static_cast<std::uint64_t>(opened) * gap : now + 100'000'000);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      Stream& stream = streams[fd];
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      const std::uint64_t read_at = now_ns();
      if (n <= 0) {
        if (!stream.ended) ++total.broken, --under_way;
        ::epoll_ctl(poll, EPOLL_CTL_DEL, fd, nullptr);
        ::close(fd);
        continue;
      }
      std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
      for (std::size_t end; (end = bytes.find('\n')) != std::string_view::npos;
           bytes.remove_prefix(end + 1)) {
        const bool before = stream.ended;
        if (stream.rest.empty()) {
          on_line(stream, bytes.substr(0, end), read_at, total);
        } else {
          stream.rest.append(bytes.substr(0, end));
          on_line(stream, stream.rest, read_at, total);
          stream.rest.clear();
        }
        if (stream.ended && !before) --under_way;
      }
      stream.rest.append(bytes);
    }
  }
  const std::uint64_t wanted = static_cast<std::uint64_t>(count) * static_cast<std::uint64_t>(tokens);
  const std::uint64_t lost = wanted - std::min(wanted, total.tokens);
  fmt::print(
      "streams {}\nended {}\ntokens {}\nlost {}\nwrong {}\nbroken {}\nlate_p50_us {:.0f}\nlate_p99_us "
      "{:.0f}\nworst_us {:.0f}\n",
      most, total.ended, total.tokens, lost, total.wrong, total.broken, total.late_us.at(0.5),
      total.late_us.at(0.99), total.late_us.at(1));
  return 0;
}

}  // namespace qanat::bench
