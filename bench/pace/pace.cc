// bench_pace: the two hands of bench/pace: many streams at once, and the replay of a pool's log in virtual time.
//   bench_pace ready PORT                          exit 0 once the pool answers
//   bench_pace load PORT STREAMS SECONDS MODEL      STREAMS streams under way for SECONDS
//   bench_pace replay CONFIG LOG                    lateness, and every planned instant against the engine alone
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.hh"
#include "base/file.hh"
#include "gateway/pool/serve/pool_config.hh"

namespace {

using namespace qanat;
using Clock = std::chrono::steady_clock;

int dial(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return fd;
  ::close(fd);
  return -1;
}

int load(int port, int streams, int seconds, const std::string& model) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  const std::string body =
      fmt::format(R"({{"model":"{}","messages":[{{"role":"user","content":"{}"}}],"max_tokens":20000,)"
                  R"("ignore_eos":true,"stream":true}})",
                  model, "carry water under the hill");
  std::vector<int> sockets;
  for (int i = 0; i < streams; ++i) {
    const int fd = dial(port);
    if (fd < 0) return 1;
    const std::string request = fmt::format(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\n"
        "content-length: {}\r\n\r\n{}",
        body.size(), body);
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return 1;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    sockets.push_back(fd);
    ::usleep(2000);  // spread over a second, as callers are
  }
  char buffer[64 * 1024];
  std::uint64_t tokens = 0;
  std::map<int, bool> heard;
  const auto begin = Clock::now(), end = begin + std::chrono::seconds(seconds);
  while (Clock::now() < end) {
    epoll_event events[256];
    const int ready = ::epoll_wait(poll, events, 256, 100);
    for (int i = 0; i < ready; ++i) {
      const ssize_t n = ::read(events[i].data.fd, buffer, sizeof buffer);
      if (n <= 0) {
        ::epoll_ctl(poll, EPOLL_CTL_DEL, events[i].data.fd, nullptr);
        heard.erase(events[i].data.fd);
        continue;
      }
      heard[events[i].data.fd] = true;
      const std::string_view text(buffer, static_cast<std::size_t>(n));
      for (std::size_t at = text.find("data: "); at != text.npos; at = text.find("data: ", at + 6)) ++tokens;
    }
  }
  fmt::print("concurrent {}\ntokens_per_s {:.0f}\n", heard.size(), double(tokens) / seconds);
  return 0;
}

struct Replay {
  std::map<std::uint32_t, std::unique_ptr<pool::Engine>> engines;  // by station
  std::map<pool::CallId, std::uint32_t> station;
  std::map<std::pair<pool::CallId, std::uint32_t>, std::int64_t> planned;
  std::uint64_t compared = 0, different = 0;

  void drain(pool::Engine& engine) {
    while (const auto event = engine.poll_event()) {
      const auto found = planned.find({event->call, event->index});
      if (found == planned.end()) continue;  // cut off by the end of the run
      ++compared;
      different += found->second != event->at.time_since_epoch().count() ? 1 : 0;
      planned.erase(found);
    }
  }
};

int replay(const std::string& config_file, const std::string& log) {
  base::ConfigReader reader(base::read_file(config_file, 1 << 20), config_file);
  auto root = reader.root();
  pool::PoolConfig config;
  pool::read_pool_config(root, config);
  const pool::StationPlan plan = config.station_plan(config.models.front());

  Replay r;
  std::vector<std::int64_t> late;
  // First what was planned, then the arrivals in their order.
  for (const bool arrivals : {false, true}) {
    std::ifstream lines(log);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string verb;
      words >> verb;
      pool::CallId id = 0;
      std::int64_t at = 0;
      if (!arrivals && verb == "token") {
        std::uint32_t index = 0;
        words >> id >> index >> at;
        r.planned[{id, index}] = at;
      } else if (!arrivals && verb == "wrote") {
        std::uint32_t index = 0;
        words >> id >> index >> at;
        late.push_back(at);
      } else if (arrivals && verb == "submit") {
        std::uint32_t station = 0;
        pool::Call call;
        int priority = 0;
        words >> station >> id >> at >> call.prompt_tokens >> call.output_tokens >> priority;
        std::vector<pool::BlockHash> blocks;
        for (pool::BlockHash block = 0; words >> std::hex >> block;) blocks.push_back(block);
        call.id = id;
        call.priority = static_cast<std::uint8_t>(priority);
        call.blocks = blocks;
        auto& engine = r.engines[station];
        if (!engine)
          engine =
              std::make_unique<pool::Engine>(pool::Roofline(plan.card, plan.cards, plan.model), plan.limits);
        r.station[id] = station;
        engine->submit(call, base::Time(base::Duration(at)));
        r.drain(*engine);
      } else if (arrivals && verb == "cancel") {
        words >> id >> at;
        auto& engine = *r.engines[r.station[id]];
        // Tokens of before are due before it goes.
        while (const auto next = engine.next_timeout()) {
          if (next->time_since_epoch().count() > at) break;
          engine.on_timer(*next);
          r.drain(engine);
        }
        engine.cancel(id, base::Time(base::Duration(at)));
      }
    }
  }
  // What was planned in real time and not cut off is planned in virtual time too.
  std::int64_t last = 0;
  for (const auto& [key, at] : r.planned) last = std::max(last, at);
  for (auto& [index, engine] : r.engines)
    while (const auto next = engine->next_timeout()) {
      if (next->time_since_epoch().count() > last) break;
      engine->on_timer(*next);
      r.drain(*engine);
    }
  std::sort(late.begin(), late.end());
  if (late.empty()) return 1;
  const auto quantile = [&](double q) {
    return double(late[static_cast<std::size_t>(q * double(late.size() - 1))]) / 1e3;
  };
  fmt::print(
      "tokens {}\nlate_p50_us {:.0f}\nlate_p99_us {:.0f}\nlate_max_us {:.0f}\ncompared {}\ndifferent {}\n",
      late.size(), quantile(0.5), quantile(0.99), quantile(1), r.compared, r.different + r.planned.size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "ready" && argc == 3) {
    const int fd = dial(std::stoi(argv[2]));
    if (fd >= 0) ::close(fd);
    return fd >= 0 ? 0 : 1;
  }
  if (verb == "load" && argc == 6)
    return load(std::stoi(argv[2]), std::stoi(argv[3]), std::stoi(argv[4]), argv[5]);
  if (verb == "replay" && argc == 4) return replay(argv[2], argv[3]);
  fmt::print(stderr, "bench_pace ready PORT | load PORT STREAMS SECONDS MODEL | replay CONFIG LOG\n");
  return 2;
}
