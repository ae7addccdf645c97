// Keys anew, on an operator's word: node rotate, ca status, rotate and advance, network-key status and rotate.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

constexpr std::chrono::milliseconds kLook{500};

std::string waiting(const json& status) {
  const auto names = status.value("waiting_for", std::vector<std::string>{});
  return names.empty() ? "" : fmt::format("; waiting for {}", fmt::join(names, ", "));
}

void print(const Options& options, const json& status) {
  if (options.json) return fmt::print("{}\n", status.dump(2));
  if (status.contains("fingerprint")) {
    fmt::print("CA         SHA-256 {}\nexpires    {:%Y-%m-%d}\nserial     {}\n",
               status.value("fingerprint", std::string{}),
               fmt::gmtime(static_cast<std::time_t>(status.value("expires_unix_s", 0LL))),
               status.value("serial", 0ULL));
  }
  fmt::print("phase      {}, {} of {} members{}\n", status.value("phase", std::string{}),
             status.value("done", 0), status.value("members", 0), waiting(status));
}

// Until the rotation is over; each step is told once.
int watch(const Options& options, const Place& place, const std::string& target) {
  std::string told;
  for (;;) {
    const json status = ask(place, "GET", target);
    const bool over = status.value("phase", std::string{}) == "stable" &&
                      status.value("waiting_for", json::array()).empty();
    const std::string line =
        fmt::format("{}: {} of {} members{}", status.value("phase", std::string{}), status.value("done", 0),
                    status.value("members", 0), waiting(status));
    if (!options.json && line != told) fmt::print("{}\n", line);
    std::fflush(stdout);
    told = line;
    if (over) {
      if (options.json) print(options, status);
      return 0;
    }
    std::this_thread::sleep_for(kLook);
  }
}

int begin(const Options& options, const std::string& what, bool wait) {
  const Place place = find_controller(options);
  ask(place, "POST", what + "/rotate");
  if (wait) return watch(options, place, what);
  print(options, ask(place, "GET", what));
  return 0;
}

}  // namespace

int rotate_node_key(const Options& options, const std::string& node) {
  const json answer = ask(find_controller(options), "POST", "/v1/nodes/" + node + "/rotate-key");
  if (options.json)
    fmt::print("{}\n", answer.dump(2));
  else
    fmt::print("{} makes a new static key; its peers take it with their next configuration\n", node);
  return 0;
}

int show_ca(const Options& options) {
  print(options, ask(find_controller(options), "GET", "/v1/ca"));
  return 0;
}
int rotate_ca(const Options& options, bool wait) { return begin(options, "/v1/ca", wait); }
int advance_ca(const Options& options) {
  const Place place = find_controller(options);
  ask(place, "POST", "/v1/ca/advance");
  print(options, ask(place, "GET", "/v1/ca"));
  return 0;
}
int show_network_key(const Options& options) {
  print(options, ask(find_controller(options), "GET", "/v1/network-key"));
  return 0;
}
int rotate_network_key(const Options& options, bool wait) { return begin(options, "/v1/network-key", wait); }

}  // namespace qanat::cli
