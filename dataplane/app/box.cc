#include "dataplane/app/box.hh"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>

#include "base/clock.hh"
#include "base/daemon.hh"
#include "base/log.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::app {
namespace {

constexpr std::chrono::milliseconds kStatusPatience{500};
constexpr std::chrono::milliseconds kSlaTurn{250};
constexpr std::chrono::seconds kWindowTurn{5};  // how late a tenant's window may begin

void fill_random(packet::MutableBytes bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::getrandom(bytes.data() + done, bytes.size() - done, 0);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
}

// Whether TUNs here take UDP super-packets (Linux 6.2): asked of a throw-away device.
bool tun_takes_udp() {
  io::TunOptions options;
  options.name = "qtp" + std::to_string(::getpid());
  return io::TunDevice(options).udp_offload();
}

agent::AgentConfig agent_config(const BoxConfig& config) {
  agent::AgentConfig out;
  out.software = "qanatd " + std::string(base::kVersion);
  out.name = config.name;
  out.location = config.location;
  out.relay = config.relay;
  for (const LineSettings& line : config.lines)
    out.lines.push_back({line.plane, line.address, line.port, line.name});
  out.state_dir = config.state_dir;
  out.controllers = config.controllers;
  out.join_token_file = config.join_token_file;
  out.rotate_static_days = config.rotate_key_days;
  return out;
}

KnownRates rates_of(const BoxConfig& config) {
  KnownRates out;
  for (std::size_t i = 0; i < config.lines.size() && i < config.qos.policy.line_bps.size(); ++i) {
    const LineSettings& line = config.lines[i];
    const KnownRates::Line rates{ids::PlaneId{static_cast<std::uint8_t>(line.plane)},
                                 config.qos.policy.line_bps[i], line.in_bps};
    if (rates.bps != 0 || rates.in_bps != 0) out.lines.push_back(rates);
  }
  if (config.relay) out.relay_packets_per_s = config.relay_packets_per_s;
  return out;
}

}  // namespace

Box::Box(boost::asio::io_context& io, BoxConfig config)
    : io_(io),
      config_(std::move(config)),
      policy_(std::make_shared<qos::Policy>(config_.qos.at(week_time_now()))),
      window_timer_(io),
      sla_timer_(io),
      started_(base::monotonic_now()),
      slas_([this](ids::NodeId node) { return name_of(node); }),
      agent_(std::make_unique<agent::Agent>(io, agent_config(config_))),
      reporter_(rates_of(config_)),
      tenants_(config_.tenants, config_.workers, config_.forwarding.offloads),
      alive_(std::make_shared<std::atomic<bool>>(true)) {
  forwarder::ForwarderOptions options;
  // Peers that have not heard of a new static key ask for the old one: it answers too (on_applied).
  const crypto::KeyPair* previous = agent_->previous_static_keys();
  options.identity.keys = previous != nullptr ? *previous : agent_->static_keys();
  options.identity.boot = agent_->boot();
  options.random = fill_random;
  for (const LineSettings& line : config_.lines)
    options.lines.push_back({ids::PlaneId{static_cast<std::uint8_t>(line.plane)},
                             {*packet::parse_ip_address(line.address), line.port}});
  options.coalesce.tcp = config_.forwarding.offloads.tun_tcp;
  options.coalesce.udp = config_.forwarding.offloads.tun_udp && tun_takes_udp();
  options.policy = policy_;
  options.adaptive = config_.forwarding.adaptive;
  io::CrewOptions crew;
  crew.workers = config_.workers;
  crew.pin = config_.forwarding.pin;
  crew.port_per_worker = config_.forwarding.port_per_worker;
  crew.worker.linger = config_.forwarding.linger;
  crew.worker.anticipation = config_.forwarding.anticipation;
  crew.worker.real_time = config_.forwarding.real_time;
  for (const LineSettings& line : config_.lines) crew.af_xdp.push_back(line.af_xdp);
  crew_ = std::make_unique<io::Crew>(std::move(options), crew,
                                     [this, alive = alive_](const forwarder::Event& event) {
                                       boost::asio::post(io_, [this, alive, event] {
                                         if (*alive) on_forwarder_event(event);
                                       });
                                     });
  metrics_.before_text([this] { export_metrics(); });
}

Box::~Box() { stop(); }

void Box::start() {
  test_offloads();
  open_srv6();
  crew_->start();
  follow_windows();
  agent_->on_applied([this](const agent::Applied& applied) { on_applied(applied); });
  agent_->on_event([this](const std::string& kind, const std::string& text) {
    base::log_info("controller: {}: {}", kind, text);
    events_.publish({"controller", fmt::format(R"({{"kind":"{}"}})", kind)});
  });
  agent_->set_telemetry(this);
  agent_->start();
}

void Box::stop() {
  if (!*alive_) return;
  *alive_ = false;
  window_timer_.cancel();
  sla_timer_.cancel();
  agent_->set_telemetry(nullptr);
  agent_->stop();
  crew_->stop();
}

void Box::test_offloads() {
  const Offloads& wanted = config_.forwarding.offloads;
  const auto works = io::offloads_work(crew_->lead().lines().front().data.local().address);
  const bool broken = works && !*works;
  if (broken) base::log_warn("UDP segmentation offload returns wrong bytes on this kernel: switched off");
  udp_offloads_work_ = !broken;
  crew_->set_udp_offloads(wanted.udp_segment && !broken, wanted.udp_gather && !broken);
  for (const std::string& problem : crew_->xdp_problems())
    base::log_warn("af_xdp: {}; that line relays by its UDP sockets", problem);
  for (const io::LineSockets& line : crew_->lead().lines())
    if (line.xdp)
      base::log_info("af_xdp: {} relays past the kernel's IP stack, {}", line.xdp->device(),
                     line.xdp->native() ? "in its driver" : "in the kernel's generic path");
}

void Box::open_srv6() {
  const Srv6Config& edge = config_.srv6;
  if (edge.checked == nullptr) return;
  std::vector<std::shared_ptr<io::TunDevice>> links;
  for (const Srv6Link& link : edge.links) {
    io::TunOptions options;
    options.name = link.device;
    options.netns = link.netns;
    // Whole packets with complete checksums: what leaves here is read by other makes.
    options.tcp_offload = options.udp_offload = false;
    links.push_back(std::make_shared<io::TunDevice>(options));
    io::DeviceState state;
    state.mtu = static_cast<unsigned>(edge.tables.mtu);
    state.routes = link.routes;
    if (links.size() == 1) state.addresses = {to_string(packet::IpPrefix::host(edge.tables.address))};
    for (const std::string& problem : io::Netlink(link.netns).reconcile(link.device, state))
      base::log_warn("SRv6 link {}: {}", link.device, problem);
  }
  for (const srv6::Policy& policy : edge.tables.policies)
    for (const packet::IpPrefix& prefix : policy.prefixes) tenants_.add_routes(policy.vni.value, prefix);
  srv6_ = std::make_shared<io::Srv6Port>(edge.checked, std::move(links));
  crew_->set_srv6(srv6_);
  base::log_info("SRv6 edge: {} links, {} SIDs, {} policies", edge.links.size(), edge.tables.sids.size(),
                 edge.tables.policies.size());
}

std::shared_ptr<io::CaptureTap> Box::capture(io::CaptureOptions options) {
  if (capturing_) return nullptr;
  auto tap = std::make_shared<io::CaptureTap>(std::move(options));
  crew_->set_tap(tap);
  capturing_ = true;
  return tap;
}

void Box::end_capture() {
  if (capturing_ && *alive_) crew_->set_tap(nullptr);
  capturing_ = false;
}

void Box::on_applied(const agent::Applied& applied) {
  snapshot_ = applied.snapshot;
  for (const std::string& problem : tenants_.apply(*snapshot_)) base::log_warn("{}", problem);
  crew_->set_tuns(tenants_.tuns());
  crew_->post([snapshot = snapshot_, keys = agent_->static_keys()](forwarder::Forwarder& f, base::Time now) {
    f.set_static_keys(keys);
    f.set_snapshot(snapshot, now);
  });
  base::log_info("configuration {}.{} in force: {} nodes, {} policies, {} tenants{}", snapshot_->epoch(),
                 snapshot_->version(), snapshot_->peers().size(), snapshot_->policies().size(),
                 snapshot_->tenants().size(),
                 applied.from_disk     ? " (from disk)"
                 : applied.rolled_back ? " (rolled back)"
                                       : "");
  events_.publish(
      {"configuration",
       fmt::format(R"({{"epoch":{},"version":{},"from_disk":{},"rolled_back":{}}})", snapshot_->epoch(),
                   snapshot_->version(), applied.from_disk, applied.rolled_back)});
}

std::string Box::name_of(ids::NodeId node) const {
  const fib::Peer* known = snapshot_ == nullptr ? nullptr : snapshot_->peer(node);
  return known == nullptr ? ids::to_string(node) : known->name;
}

void Box::on_forwarder_event(const forwarder::Event& event) {
  using Kind = forwarder::Event::Kind;
  const std::string who = name_of(event.peer);
  std::string data = fmt::format(R"({{"to":"{}")", who);
  if (event.kind == Kind::PathSwitched) {
    data += fmt::format(R"(,"tier":"{}","path":{},"before":{})", ids::to_string(event.tier), event.path.value,
                        event.before.value);
    base::log_info("path to {} for {}: {:#x} -> {:#x}", who, ids::to_string(event.tier), event.before.value,
                   event.path.value);
  } else if (event.kind == Kind::PathUp || event.kind == Kind::PathDown) {
    data += fmt::format(R"(,"path":{})", event.path.value);
    base::log_info("path {:#x} to {}: {}", event.path.value, who, event.kind == Kind::PathUp ? "up" : "down");
  } else if (event.kind == Kind::CopiesStopped || event.kind == Kind::CopiesResumed) {
    base::log_info(
        "critical to {}: {}", who,
        event.kind == Kind::CopiesStopped ? "one path only, no second is disjoint and alive" : "two paths");
  } else {
    base::log_info("peer {}: {}", who, event.kind == Kind::PeerUp ? "up" : "down");
  }
  data +=
      fmt::format(R"(,"monotonic_us":{}}})",
                  std::chrono::duration_cast<std::chrono::microseconds>(event.at.time_since_epoch()).count());
  events_.publish({forwarder::to_string(event.kind), std::move(data)});
}

base::Duration Box::uptime() const { return base::monotonic_now() - started_; }

forwarder::Status Box::status(bool take) { return crew_->status(kStatusPatience, take); }

void Box::collect(proto::v1::Telemetry& out, bool anew) {
  if (anew) reporter_.begin();
  packet::DropCounters drops;
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
    const auto reason = static_cast<packet::DropReason>(i);
    drops.count(reason, crew_->drops(reason));
  }
  forwarder::Counters counters;
  for (std::size_t i = 0; i < forwarder::kCounterCount; ++i) {
    const auto counter = static_cast<forwarder::Counter>(i);
    counters.add(counter, crew_->counter(counter));
  }
  reporter_.append(status(true), drops, counters, base::monotonic_now(), out);
}

// Tenants' rates change with the time of the week.
void Box::follow_windows() {
  const qos::WeekTime now = week_time_now();
  bool any = false;
  for (const auto& [vni, plan] : config_.qos.plans) {
    if (plan.windows.empty()) continue;
    any = true;
    policy_->tenant(ids::Vni{vni})->set(plan.at(now));
  }
  if (!any) return;
  window_timer_.expires_after(kWindowTurn);
  window_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (!error && *alive) follow_windows();
  });
}

void Box::watch_slas() {
  if (!watching_slas_) evaluate_slas();
}

void Box::evaluate_slas() {
  watching_slas_ = !slas_.empty();
  if (!watching_slas_) return;
  for (const HubEvent& event : slas_.evaluate(status(), base::monotonic_now())) {
    base::log_info("{}: {}", event.name, event.data);
    events_.publish(event);
  }
  sla_timer_.expires_after(kSlaTurn);
  sla_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (!error && *alive) evaluate_slas();
  });
}

void Box::export_metrics() {
  const auto raise = [](base::Counter& counter, std::uint64_t value) {
    counter.add(value - counter.value());
  };
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
    const auto reason = static_cast<packet::DropReason>(i);
    raise(metrics_.counter("qanat_dropped_packets_total", "packets and datagrams discarded, by reason",
                           {{"reason", std::string(packet::to_string(reason))}}),
          crew_->drops(reason));
  }
  for (std::size_t i = 0; i < forwarder::kCounterCount; ++i) {
    const auto counter = static_cast<forwarder::Counter>(i);
    raise(
        metrics_.counter(fmt::format("qanat_{}_total", forwarder::to_string(counter)), "see `qanat status`"),
        crew_->counter(counter));
  }
  raise(metrics_.counter("qanat_udp_receive_overflow_total", "datagrams lost in full socket queues"),
        crew_->udp(&io::UdpCounters::receive_overflow));
  raise(metrics_.counter("qanat_udp_segment_fallback_total", "trains sent one by one"),
        crew_->udp(&io::UdpCounters::segment_fallback));
  raise(metrics_.counter("qanat_xdp_received_total", "relayed datagrams taken by AF_XDP"),
        crew_->xdp(&io::XdpCounters::received));
  raise(metrics_.counter("qanat_xdp_sent_total", "relayed datagrams sent by AF_XDP"),
        crew_->xdp(&io::XdpCounters::sent));
  metrics_.gauge("qanat_timer_lateness_seconds", "how late the latest worker's timers run, smoothed")
      .set(static_cast<double>(crew_->worker_max(&io::WorkerCounters::lateness_us)) / 1e6);
  metrics_.gauge("qanat_controller_connected", "1 while a session with a controller is up")
      .set(agent_->status().connected ? 1 : 0);
  if (const auto ahead = agent_->status().clock_ahead_ms)
    metrics_.gauge("qanat_clock_ahead_seconds", "this host's clock less its controller's")
        .set(static_cast<double>(*ahead) / 1e3);
}

}  // namespace qanat::app
