#include "tools/lab/main_job.hh"

#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/file.hh"
#include "base/http_client.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/outage_flow.hh"
#include "tools/lab/path_links.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = 250ms;
constexpr auto kFirstCut = 30s;  // of replay, before a cut is considered
constexpr auto kWindow = 2s;     // one path with overflow on it, counted before the cut
constexpr auto kCutFor = 8s;
constexpr auto kLongestReplay = 170s;
constexpr std::uint64_t kFewestWindowTokens = 50;
// One packet of the 1 ms flow as a path's byte counter sees it: the inner packet.
constexpr std::uint64_t kFlowPacketBytes = 28 + OutageFlow::kPayloadBytes;

class MainJob {
 public:
  MainJob(const Topology& topology, LabState& state, const MainJobOptions& options)
      : topology_(topology), state_(state), options_(options), city_(*gateway_node()) {}

  JobResult run() {
    for (const auto& pool : state_.pools)
      if (!pool.local)
        flows_[pool.node] = std::make_unique<OutageFlow>(
            FlowEnd{city_.netns, city_.overlay},
            FlowEnd{state_.node(pool.node)->netns, state_.node(pool.node)->overlay});
    options_.progress("a 1 ms UDP flow runs both ways between the city and each far region");
    start_replay();
    const auto give_up = Clock::now() + kLongestReplay;
    while (alive(replay())) {
      if (interrupted()) throw LabError("interrupted");
      if (Clock::now() > give_up) {
        send_signal(replay(), SIGTERM);
        throw LabError("the replay did not end in time:\n" + last_lines(replay().log, 5));
      }
      step_cut();
      show();
      std::this_thread::sleep_for(kTick);
    }
    if (cut_ == Cut::Down) restore();
    read_replay();
    read_ledger();
    return result_;
  }

 private:
  const NodeState* gateway_node() const {
    if (state_.gateways.empty()) throw LabError("the topology has no gateway");
    return state_.node(state_.gateways.front().node);
  }
  Process& replay() { return *state_.process("replay"); }

  void start_replay() {
    summary_file_ = state_.folder() + "/replay.json";
    Process process;
    process.name = "replay";
    process.netns = city_.netns;
    process.log = state_.folder() + "/log/replay.log";
    process.command = {state_.bin + "/qanat-replay",
                       "--trace",
                       options_.trace,
                       "--gateway",
                       state_.gateways.front().url,
                       "--model",
                       options_.model,
                       "--limit",
                       std::to_string(options_.requests),
                       "--compress",
                       fmt::format("{}", options_.compress),
                       "--max-tokens",
                       std::to_string(options_.max_tokens),
                       "--json-lines",
                       "--json",
                       summary_file_};
    // By the environment, so that no list of processes shows it.
    setenv("QANAT_KEY", state_.gateways.front().key.c_str(), 1);
    start(process);
    unsetenv("QANAT_KEY");
    state_.processes.push_back(std::move(process));
    save(state_);
    started_ = Clock::now();
    options_.progress(
        fmt::format("the tenant replays {} requests of the Azure conversation trace, {} times as fast",
                    options_.requests, options_.compress));
  }

  // ---- the cut: Waiting (until some far node's overflow has kept to one path for kWindow) → Down → Done

  enum class Cut { Waiting, Down, Done };

  // A far node's overflow, and the path and link under it, with all counters as they are at one instant.
  struct Watch {
    PathView there, back;
    std::string link;
    Clock::time_point since;
    std::uint64_t link_bytes = 0, path_bytes = 0, flow_packets = 0, tokens = 0;
    const PathView& cut_path() const { return link_is_under_there ? there : back; }
    bool link_is_under_there = false;
    bool same_way(const Watch& other) const {
      return there == other.there && back == other.back && link == other.link;
    }
  };

  void step_cut() {
    const auto now = Clock::now();
    if (cut_ == Cut::Waiting && now - started_ > kFirstCut) {
      // Of those that may be cut, the one with the most overflow on it.
      std::string busiest;
      std::optional<Watch> busiest_now;
      std::uint64_t most = kFewestWindowTokens;
      for (const auto& pool : state_.pools) {
        if (pool.local) continue;
        const auto is_now = observe(pool);
        auto& since = watches_[pool.node];
        if (!is_now || !since || !since->same_way(*is_now) || is_now->path_bytes < since->path_bytes) {
          since = is_now;
        } else if (is_now->since - since->since >= kWindow && is_now->tokens - since->tokens >= most) {
          most = is_now->tokens - since->tokens;
          busiest = pool.node;
          busiest_now = is_now;
        }
      }
      if (busiest_now) cut(busiest, *watches_[busiest], *busiest_now);
    } else if (cut_ == Cut::Down) {
      note_path_after();
      if (now - cut_at_ > kCutFor) restore();
    }
  }

  std::optional<Watch> observe(const PoolState& pool) const {
    Watch watch;
    std::uint64_t ignored = 0;
    const auto there = active_path(city_.name, pool.node, ignored);
    const auto back = active_path(pool.node, city_.name, watch.path_bytes);
    if (!there || !back) return {};
    watch.there = *there;
    watch.back = *back;
    // Tokens travel back. A link that both directions use shows the outage in both.
    const auto forward = links_of(*there, topology_), backward = links_of(*back, topology_);
    std::vector<std::string> both;
    for (const auto& link : backward)
      if (std::find(forward.begin(), forward.end(), link) != forward.end()) both.push_back(link);
    watch.link_is_under_there = !both.empty();
    watch.link = longest_link(both.empty() ? backward : both, topology_);
    if (watch.link.empty()) return {};
    watch.flow_packets = flows_.at(pool.node)->b_to_a().sent;
    watch.tokens = generated_tokens(pool);
    watch.link_bytes = link_bytes(watch.link);
    watch.since = Clock::now();
    return watch;
  }

  void cut(const std::string& far, const Watch& before, const Watch& now) {
    const std::uint64_t flow_bytes = (now.flow_packets - before.flow_packets) * kFlowPacketBytes;
    const std::uint64_t path_bytes = now.path_bytes - before.path_bytes;
    far_ = far;
    cut_watch_ = now;
    result_.cut_link = now.link;
    result_.cut_link_bytes = now.link_bytes - before.link_bytes;
    result_.overflow_bytes = path_bytes > flow_bytes ? path_bytes - flow_bytes : 0;
    result_.window_tokens = now.tokens - before.tokens;
    result_.path_before = to_string(now.cut_path(), topology_);
    flows_.at(far_)->mark();
    call(state_.linkem_socket, "POST", "/v1/links/" + now.link + "/fault",
         {{"down", true}, {"direction", "both"}});
    cut_at_ = Clock::now();
    cut_ = Cut::Down;
    options_.progress(fmt::format("link {} is cut; it was under {}", now.link, result_.path_before));
  }

  void note_path_after() {
    if (!result_.path_after.empty()) return;
    std::uint64_t ignored = 0;
    const auto path = active_path(cut_watch_.cut_path().from, cut_watch_.cut_path().to, ignored);
    if (!path || *path == cut_watch_.cut_path()) return;
    const auto links = links_of(*path, topology_);
    if (std::find(links.begin(), links.end(), cut_watch_.link) != links.end()) return;
    result_.path_after = to_string(*path, topology_);
    options_.progress(fmt::format("calls go on over {}", result_.path_after));
  }

  void restore() {
    note_path_after();
    result_.outage_ms = flows_.at(far_)->outage_ms();
    if (result_.path_after.empty()) result_.path_after = result_.path_before;
    call(state_.linkem_socket, "POST", "/v1/links/" + cut_watch_.link + "/fault",
         {{"down", false}, {"direction", "both"}});
    cut_ = Cut::Done;
    options_.progress(
        fmt::format("link {} is restored; the flow felt {:.1f} ms", cut_watch_.link, result_.outage_ms));
  }

  // bytes: what tenants sent on it so far.
  std::optional<PathView> active_path(const std::string& from, const std::string& to,
                                      std::uint64_t& bytes) const {
    const json paths = get(state_.node(from)->socket, "/v1/paths?tier=interactive&to=" + to);
    for (const auto& path : paths)
      if (path.value("active", false)) {
        bytes = path.value("bytes", std::uint64_t{0});
        return PathView{from, to, path.at("segments"), path.at("names"), path.at("first_plane")};
      }
    return {};
  }

  std::uint64_t generated_tokens(const PoolState& pool) const {
    std::uint64_t sum = 0;
    const json status = get(pool.socket, "/v1/status");
    for (const auto& model : status.at("models")) sum += model.value("generated_tokens", 0u);
    return sum;
  }

  // Bytes that came out of the link, both ways.
  std::uint64_t link_bytes(const std::string& name) const {
    const json links = get(state_.linkem_socket, "/v1/links");
    for (const auto& link : links)
      if (link.at("name") == name)
        return link["up"]["out_bytes"].get<std::uint64_t>() + link["down"]["out_bytes"].get<std::uint64_t>();
    throw LabError("linkem does not know the link " + name);
  }

  // ---- progress and results

  void show() {
    const auto line = json::parse(last_lines(replay().log, 1), nullptr, false);
    if (!line.is_object() || !line.contains("sent") || line == shown_) return;
    shown_ = line;
    options_.live_progress(fmt::format(
        "{:5.0f} s  sent {:4}  running {:3}  done {:4} (local {}, overflow {})  failed {}  {:5} tokens/s{}",
        line.value("t_s", 0.0), line.value("sent", 0), line.value("running", 0), line.value("done", 0),
        line.value("local", 0), line.value("overflow", 0), line.value("failed", 0),
        line.value("tokens_per_s", 0), cut_ == Cut::Down ? "  LINK CUT" : ""));
  }

  void read_replay() {
    const auto summary = [&] {
      try {
        return json::parse(base::read_file(summary_file_), nullptr, false);
      } catch (const std::system_error&) {
        return json();
      }
    }();
    if (!summary.is_object()) throw LabError("the replay left no summary:\n" + last_lines(replay().log, 8));
    const auto pair = [&summary](const char* what, const char* where) {
      const json& spread = summary.at(what).at(where);
      const auto value = [&](const char* key) {
        return spread[key].is_number() ? spread[key].get<double>() : 0.0;
      };
      return LatencyPair{value("p50"), value("p99")};
    };
    result_.requests_total = summary.at("requests_total");
    result_.requests_failed = summary.at("requests_failed");
    result_.overflow_share = summary.at("overflow_share");
    result_.ttft_local = pair("ttft_ms", "local");
    result_.ttft_overflow = pair("ttft_ms", "overflow");
    result_.tpot_local = pair("tpot_ms", "local");
    result_.tpot_overflow = pair("tpot_ms", "overflow");
    result_.tokens_delivered = summary.at("tokens_delivered");
    for (const auto& failure : summary.value("failures", json::array()))
      options_.progress(
          fmt::format("{} requests failed: {}", failure.value("count", 0), failure.value("reason", "")));
  }

  void read_ledger() {
    // The last calls may still be on their way into the ledger.
    const std::string socket = state_.gateways.front().socket;
    json totals;
    for (const auto give_up = Clock::now() + 5s; Clock::now() < give_up; std::this_thread::sleep_for(kTick)) {
      totals = get(socket, "/v1/ledger/totals");
      if (totals.value("tokens_billed", std::uint64_t{0}) == result_.tokens_delivered) break;
    }
    result_.tokens_billed = totals.at("tokens_billed");
    result_.cost = static_cast<double>(totals.at("total_nano").get<std::int64_t>()) / 1e9;
    read_bill();
  }

  // As the tenant sees it, over the tenant's own API.
  void read_bill() {
    const linkem::NetnsScope inside(city_.netns);
    base::ClientRequest request;
    request.target = "/qanat/v1/bill";
    request.headers.add("authorization", "Bearer " + state_.gateways.front().key);
    const auto response = base::fetch_blocking(state_.gateways.front().url, std::move(request));
    if (!response || response->status != 200) throw LabError("the gateway does not hand out the bill");
    const auto bill = json::parse(response->body);
    result_.currency = bill.value("currency", "");
    // One line a call; people read the sum of each pool.
    std::map<std::string, BillLine> by_pool;
    for (const auto& line : bill.at("lines")) {
      BillLine& sum = by_pool[line.value("pool", "") + "  " + line.value("model", "")];
      sum.tokens_in += line.value("tokens_in", std::uint64_t{0});
      sum.tokens_out += line.value("tokens_out", std::uint64_t{0});
      sum.total_nano += line.value("amount_nano", std::int64_t{0});
      ++sum.calls;
    }
    for (auto& [what, line] : by_pool) {
      line.what = what;
      result_.bill.push_back(line);
    }
  }

  const Topology& topology_;
  LabState& state_;
  const MainJobOptions& options_;
  const NodeState& city_;
  std::map<std::string, std::unique_ptr<OutageFlow>> flows_;  // by far node
  std::string summary_file_;
  Clock::time_point started_, cut_at_;
  Cut cut_ = Cut::Waiting;
  std::map<std::string, std::optional<Watch>> watches_;  // by far node
  std::string far_;                                      // whose path is cut
  Watch cut_watch_;
  JobResult result_;
  json shown_;
};

}  // namespace

JobResult run_main_job(const Topology& topology, LabState& state, const MainJobOptions& options) {
  return MainJob(topology, state, options).run();
}

}  // namespace qanat::lab
