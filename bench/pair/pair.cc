// bench_pair: two boxes in two namespaces over any number of planes, without a controller, until stdin closes. The boxes
// are qanatd's own (io::Crew), their configuration is made here.
//
//   bench_pair NETNS_A NETNS_B PLANES [auto|on|off] [WORKERS] [RATE] [two]
//     RATE in Mbit/s is what A is told of each of its lines, 0: nothing; two: tenant 200 in NETNS_At and NETNS_Bt, with
//     the same addresses
//     lines 10.p.0.1 and 10.p.0.2 on planes p = 1 … PLANES; tenant 100: 100.96.1.1 at A, 100.96.2.1 at B
//   prints {"up":true} once both directions of every plane are alive, then a line for each command on stdin:
//     paths     {"paths":[{"plane","alive","rate_mbit_s","srtt_ms","queue_ms","loss_ppm","window"}],"active":PLANE}
//     counters  {"switches","drops_a","drops_b",…}
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>

#include "tests/support/test_box.hh"

namespace {

using namespace qanat;

forwarder::Adaptive parse_adaptive(const std::string& text) {
  if (text == "on") return forwarder::Adaptive::On;
  return text == "off" ? forwarder::Adaptive::Off : forwarder::Adaptive::Auto;
}

// Adjacencies from a plane to the same one, by plane.
int alive(test::TestBox& box) {
  int count = 0;
  for (const auto& peer : box.status().peers)
    for (const auto& adjacency : peer.adjacencies)
      count +=
          adjacency.local_plane == adjacency.remote_plane && adjacency.state == path::State::Alive ? 1 : 0;
  return count;
}

void print_paths(test::TestBox& box, int planes) {
  std::string out = "{\"paths\":[";
  int active = 0;
  const auto ms = [](base::Duration d) { return static_cast<double>(d.count()) * 1e-6; };
  for (const auto& path : box.status().paths) {
    if (path.tier != ids::Tier::Bulk || path.first_plane.value > planes) continue;
    if (path.active) active = path.first_plane.value;
    const auto pipe = path.pipe.value_or(forwarder::PipeStatus{});
    out += fmt::format(
        R"({}{{"plane":{},"alive":{},"rate_mbit_s":{:.1f},"srtt_ms":{:.2f},"queue_ms":{:.2f},"loss_ppm":{},"window":{},"resent":{}}})",
        out.back() == '[' ? "" : ",", path.first_plane.value, path.state == path::State::Alive,
        pipe.rate_bps * 1e-6, ms(pipe.srtt), ms(pipe.queue), pipe.loss_ppm, pipe.window_bytes, pipe.resent);
  }
  std::printf("%s],\"active\":%d}\n", out.c_str(), active);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: bench_pair NETNS_A NETNS_B PLANES [auto|on|off] [WORKERS] [RATE] [two]\n", stderr);
    return 2;
  }
  const int planes = std::atoi(argv[3]);
  std::vector<std::uint8_t> all;
  for (int p = 1; p <= planes; ++p) all.push_back(static_cast<std::uint8_t>(p));
  test::Overlay overlay(1);
  overlay.add_node(1, false, all);
  overlay.add_node(2, false, all);
  overlay.add_tenant(100, {1, 2});
  overlay.set_adaptive(parse_adaptive(argc > 4 ? argv[4] : "auto"));
  for (const auto& [head, end] : {std::pair{1u, 2u}, std::pair{2u, 1u}})
    for (int p = 1; p <= planes; ++p)
      overlay.add_lists({head * 1000 + static_cast<unsigned>(p) * 10,
                         head,
                         {},
                         static_cast<unsigned>(p),
                         static_cast<std::uint8_t>(p),
                         {ids::Sid::end(ids::NodeId{end})}});
  const unsigned workers = argc > 5 ? static_cast<unsigned>(std::atoi(argv[5])) : 1;
  const bool two = argc > 7 && std::string(argv[7]) == "two";
  const auto second = [&](const char* netns) {
    std::map<std::uint32_t, std::string> out;
    if (two) out[200] = std::string(netns) + "t";
    return out;
  };
  if (two) overlay.add_tenant(200, {1, 2});
  qos::PolicyConfig told;
  const double rate = argc > 6 ? std::atof(argv[6]) * 1e6 : 0;
  for (int p = 1; p <= planes; ++p) told.line_bps.push_back(static_cast<std::uint64_t>(rate));
  overlay.set_qos(std::make_shared<const qos::Policy>(told));
  test::TestBox a(overlay, 1, argv[1], workers, second(argv[1]));
  overlay.set_qos(std::make_shared<const qos::Policy>());
  test::TestBox b(overlay, 2, argv[2], workers, second(argv[2]));
  bool up = false;
  for (int i = 0; i < 400 && !up; ++i) {
    up = alive(a) == planes && alive(b) == planes;
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
  std::printf("{\"up\":%s}\n", up ? "true" : "false");
  std::fflush(stdout);
  for (std::string command; std::getline(std::cin, command);) {
    if (command == "paths") print_paths(a, planes);
    if (command == "counters")
      std::printf(
          R"({"switches":%u,"drops_a":"%s","drops_b":"%s","acks":%llu,"resent":%llu,"copies":%llu,"repairs":%llu,"rebuilt":%llu})"
          "\n",
          a.switches() + b.switches(), a.drops_text().c_str(), b.drops_text().c_str(),
          static_cast<unsigned long long>(b.counter(forwarder::Counter::AcksSent)),
          static_cast<unsigned long long>(a.counter(forwarder::Counter::PacketsResent)),
          static_cast<unsigned long long>(a.counter(forwarder::Counter::CopiesSent)),
          static_cast<unsigned long long>(a.counter(forwarder::Counter::RepairsSent)),
          static_cast<unsigned long long>(b.counter(forwarder::Counter::PacketsRebuilt)));
    std::fflush(stdout);
  }
  return up ? 0 : 1;
}
