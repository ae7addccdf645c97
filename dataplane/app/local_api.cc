#include "dataplane/app/local_api.hh"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "base/trace_exporter.hh"
#include "dataplane/app/box.hh"

namespace qanat::app {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

using base::Request;
using base::Responder;

constexpr std::chrono::seconds kKeepalive{15};
constexpr std::chrono::milliseconds kCaptureTurn{20};

std::int64_t us(base::Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); }

bool alive(path::State state) { return state == path::State::Alive; }

json status_json(Box& box) {
  const agent::AgentStatus a = box.agent().status();
  json drops = json::object();
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
    const auto reason = static_cast<packet::DropReason>(i);
    if (const auto n = box.crew().drops(reason); n != 0) drops[std::string(packet::to_string(reason))] = n;
  }
  return {{"name", box.config().name},
          {"node", a.node},
          {"domain", a.domain},
          {"controller",
           {{"connected", a.connected},
            {"state", a.state},
            {"address", a.address},
            {"epoch", a.epoch},
            {"version", a.version},
            {"last_error", a.last_error},
            {"clock_ahead_ms", a.clock_ahead_ms ? json(*a.clock_ahead_ms) : json()}}},
          {"uptime_s", std::chrono::duration_cast<std::chrono::seconds>(box.uptime()).count()},
          {"sessions", box.status().sessions},
          {"udp_offloads", box.udp_offloads_work()},
          {"drops", drops}};
}

json peers_json(Box& box) {
  json out = json::array();
  for (const forwarder::PeerStatus& peer : box.status().peers) {
    json adjacencies = json::array();
    for (const forwarder::AdjacencyStatus& a : peer.adjacencies)
      adjacencies.push_back({{"local_plane", a.local_plane.value},
                             {"remote_plane", a.remote_plane.value},
                             {"address", to_string(a.address)},
                             {"alive", alive(a.state)},
                             {"rtt_us", us(a.rtt)},
                             {"loss_ppm", a.loss_ppm},
                             {"mtu", a.mtu},
                             {"one_way_raw_us", a.one_way_raw_us}});
    out.push_back({{"node", peer.node.value},
                   {"name", box.name_of(peer.node)},
                   {"session", peer.session},
                   {"adjacencies", std::move(adjacencies)}});
  }
  return out;
}

// Null while the path is not managed.
json pipe_json(const std::optional<forwarder::PipeStatus>& pipe) {
  if (!pipe) return nullptr;
  return {{"rate_bps", static_cast<std::uint64_t>(pipe->rate_bps)},
          {"rtt_us", us(pipe->srtt)},
          {"queue_us", us(pipe->queue)},
          {"loss_ppm", pipe->loss_ppm},
          {"window_bytes", pipe->window_bytes},
          {"in_flight_bytes", pipe->in_flight_bytes}};
}

json paths_json(Box& box, const std::optional<std::string>& to, const std::optional<ids::Tier>& tier) {
  json out = json::array();
  for (const forwarder::PathStatus& p : box.status().paths) {
    const std::string name = box.name_of(p.endpoint);
    if ((to && *to != name) || (tier && *tier != p.tier)) continue;
    json segments = json::array();
    json names = json::array();
    for (const ids::Sid sid : p.segments) {
      segments.push_back(ids::to_string(sid));
      names.push_back(box.name_of(sid.node()));
    }
    out.push_back({{"path", p.id.value},
                   {"to", name},
                   {"tier", ids::to_string(p.tier)},
                   {"segments", std::move(segments)},
                   {"names", std::move(names)},
                   {"first_plane", p.first_plane.value},
                   {"active", p.active},
                   {"alive", alive(p.state)},
                   {"rtt_us", us(p.rtt)},
                   {"loss_ppm", p.loss_ppm},
                   {"preference", p.preference},
                   {"bytes", p.bytes},
                   {"packets", p.packets},
                   {"weight", p.weight ? json(*p.weight) : json()},
                   {"managed", pipe_json(p.pipe)}});
  }
  return out;
}

json counters_json(Box& box) {
  json out = json::object();
  for (std::size_t i = 0; i < forwarder::kCounterCount; ++i) {
    const auto counter = static_cast<forwarder::Counter>(i);
    out[std::string(forwarder::to_string(counter))] = box.crew().counter(counter);
  }
  const io::Crew& crew = box.crew();
  out["udp_received_messages"] = crew.udp(&io::UdpCounters::received_messages);
  out["udp_received_datagrams"] = crew.udp(&io::UdpCounters::received_datagrams);
  out["udp_received_bytes"] = crew.udp(&io::UdpCounters::received_bytes);
  out["udp_sent_messages"] = crew.udp(&io::UdpCounters::sent_messages);
  out["udp_sent_datagrams"] = crew.udp(&io::UdpCounters::sent_datagrams);
  out["udp_sent_bytes"] = crew.udp(&io::UdpCounters::sent_bytes);
  out["udp_receive_overflow"] = crew.udp(&io::UdpCounters::receive_overflow);
  out["udp_segment_fallback"] = crew.udp(&io::UdpCounters::segment_fallback);
  out["workers"] = crew.size();
  out["worker_wakeups"] = crew.worker_sum(&io::WorkerCounters::wakeups);
  out["worker_lateness_us"] = crew.worker_max(&io::WorkerCounters::lateness_us);
  out["tun_reads"] = crew.worker_sum(&io::WorkerCounters::tun_reads);
  out["tun_writes"] = crew.worker_sum(&io::WorkerCounters::tun_writes);
  return out;
}

json srv6_json(const io::Srv6Port* port) {
  json out{{"sids", json::array()}, {"policies", json::array()}};
  if (port == nullptr) return out;
  const auto add = [](json& list, json entry, const srv6::SegmentCounters& c) {
    entry["packets"] = c.packets.load();
    entry["bytes"] = c.bytes.load();
    entry["drops"] = c.drops.load();
    list.push_back(std::move(entry));
  };
  const srv6::Tables& tables = port->tables();
  for (std::size_t i = 0; i < tables.sids().size(); ++i)
    add(out["sids"],
        {{"sid", to_string(tables.sids()[i].sid)}, {"behavior", srv6::to_string(tables.sids()[i].behaviour)}},
        port->counters().sid(i));
  for (std::size_t i = 0; i < tables.policies().size(); ++i) {
    json segments = json::array();
    for (const auto& segment : tables.policies()[i].segments) segments.push_back(to_string(segment));
    add(out["policies"], {{"name", tables.policies()[i].name}, {"segments", std::move(segments)}},
        port->counters().policy(i));
  }
  return out;
}

// pcapng until the client goes away: what the workers recorded, every 20 ms.
awaitable<void> stream_capture(Box& box, Request& in, Responder& out) {
  io::CaptureOptions options;
  const std::string side = in.parameter("side").value_or("clear");
  options.clear = side != "sealed";
  options.sealed = side != "clear";
  options.filter = in.parameter("filter").value_or("");
  if (side != "clear" && side != "sealed" && side != "both") {
    co_await out.error(400, "bad_side", "no side is called '" + side + "'", "clear, sealed or both");
    co_return;
  }
  std::shared_ptr<io::CaptureTap> tap;
  std::string wrong;
  try {
    tap = box.capture(std::move(options));
  } catch (const std::invalid_argument& e) {
    wrong = e.what();
  }
  if (!wrong.empty()) {
    co_await out.error(400, "bad_filter", wrong,
                       "an expression as tcpdump takes them, such as \"tcp port 9000\"");
    co_return;
  }
  if (tap == nullptr) {
    co_await out.error(409, "capture_busy", "a capture of this box is running", "end it first");
    co_return;
  }
  const std::shared_ptr<void> end(nullptr, [&box](void*) { box.end_capture(); });
  const auto timer = std::make_shared<boost::asio::steady_timer>(co_await boost::asio::this_coro::executor);
  out.on_disconnect([timer] { timer->cancel(); });
  if (!co_await out.begin_stream(200, "application/x-pcapng")) co_return;
  while (!out.client_gone()) {
    const std::string blocks = tap->take();
    if (!blocks.empty() && !co_await out.write(blocks)) co_return;
    timer->expires_after(kCaptureTurn);
    boost::system::error_code rung;
    co_await timer->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, rung));
  }
}

awaitable<void> put_sla(Box& box, Request& in, Responder& out) {
  const std::string name(in.capture("name"));
  std::vector<std::string> problems;
  const json body = json::parse(in.body, nullptr, false);
  SlaRequest request = read_sla(body, problems);
  if (!problems.empty()) {
    std::string all;
    for (const std::string& problem : problems) all += (all.empty() ? "" : "; ") + problem;
    co_await out.error(400, "bad_sla", all, R"({"to":"far1","tier":"interactive","latency_ms":40})");
    co_return;
  }
  if (name.size() > 64) {
    co_await out.error(400, "bad_name", "the name is longer than 64 bytes", "a shorter one");
    co_return;
  }
  if (!box.slas().put(name, std::move(request), base::monotonic_now())) {
    co_await out.error(409, "too_many_slas", "this box holds " + std::to_string(SlaBook::kMost) + " already",
                       "delete one first");
    co_return;
  }
  box.watch_slas();
  co_await out.json(200, box.slas().show(name)->dump());
}

// A gateway's call crossed the overlay: our part of its trace, with what this box knows of the way.
void record_crossing(Box& box, const Request& in, const json& body, base::TraceExporter& traces) {
  const std::string* header = in.headers.find("traceparent");
  const auto parent = header == nullptr ? std::nullopt : base::parse_traceparent(*header);
  if (!parent || !parent->sampled) return;
  base::Span span;
  span.kind = base::Span::Kind::Internal;
  const std::string to = body.value("to", std::string{});
  span.name = "overlay to " + to;
  span.context = base::child_of(*parent);
  span.parent = parent->span;
  span.begin_unix_ns = body.value("begin_unix_ns", std::uint64_t{0});
  span.end_unix_ns = body.value("end_unix_ns", std::uint64_t{0});
  const std::string tier = body.value("tier", std::string{"interactive"});
  span.attributes = {{"qanat.from", box.config().name}, {"qanat.to", to}, {"qanat.tier", tier}};
  for (const json& path : paths_json(box, to, ids::parse_tier(tier))) {
    if (!path.value("active", false)) continue;
    std::string way = box.config().name;
    for (const json& name : path["names"]) way += " > " + name.get<std::string>();
    span.attributes.emplace_back("qanat.way", way);
    span.attributes.emplace_back("qanat.plane", path["first_plane"].dump());
    span.attributes.emplace_back("qanat.rtt_us", path["rtt_us"].dump());
    span.attributes.emplace_back("qanat.loss_ppm", path["loss_ppm"].dump());
    break;
  }
  traces.record(std::move(span));
}

awaitable<void> take_crossing(Box& box, Request& in, Responder& out, base::TraceExporter* traces) {
  const json body = json::parse(in.body, nullptr, false);
  const bool good = body.is_object() && body.contains("to") && body["to"].is_string() &&
                    body.contains("begin_unix_ns") && body["begin_unix_ns"].is_number_unsigned() &&
                    body.contains("end_unix_ns") && body["end_unix_ns"].is_number_unsigned() &&
                    (!body.contains("tier") || body["tier"].is_string());
  if (!good) {
    co_await out.error(400, "bad_crossing", "not a crossing",
                       R"({"to":"far1","tier":"interactive","begin_unix_ns":1,"end_unix_ns":2})");
    co_return;
  }
  if (traces != nullptr) record_crossing(box, in, body, *traces);
  co_await out.json(200, "{}");
}

awaitable<void> stream_events(Box& box, base::Responder& out) {
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto listener = box.events().listen(executor);
  out.on_disconnect([listener] { listener->bell.cancel(); });
  if (!co_await out.begin_events()) co_return;
  while (!out.client_gone()) {
    while (!listener->queue.empty()) {
      const HubEvent event = listener->queue.front();
      listener->queue.pop_front();
      if (!co_await out.event(event.data, event.name)) co_return;
    }
    listener->bell.expires_after(kKeepalive);
    boost::system::error_code rung;
    co_await listener->bell.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, rung));
    // A comment now and then finds out who has gone.
    if (!rung && !co_await out.write(": still here\n\n")) co_return;
  }
}

}  // namespace

void add_routes(base::HttpServer& server, Box& box, base::TraceExporter* traces) {
  server.route("POST", "/v1/crossings", [&box, traces](Request& in, Responder& out) -> awaitable<void> {
    co_await take_crossing(box, in, out, traces);
  });
  server.route("GET", "/v1/status", [&box](Request&, Responder& out) -> awaitable<void> {
    co_await out.json(200, status_json(box).dump());
  });
  server.route("GET", "/v1/peers", [&box](Request&, Responder& out) -> awaitable<void> {
    co_await out.json(200, peers_json(box).dump());
  });
  server.route("GET", "/v1/paths", [&box](Request& in, Responder& out) -> awaitable<void> {
    const auto wanted = in.parameter("tier");
    const auto tier = wanted ? ids::parse_tier(*wanted) : std::nullopt;
    if (wanted && !tier) {
      co_await out.error(400, "bad_tier", "no tier is called '" + *wanted + "'",
                         "critical, interactive, bulk or scavenger");
      co_return;
    }
    co_await out.json(200, paths_json(box, in.parameter("to"), tier).dump());
  });
  server.route("GET", "/v1/counters", [&box](Request&, Responder& out) -> awaitable<void> {
    co_await out.json(200, counters_json(box).dump());
  });
  server.route("GET", "/v1/srv6", [&box](Request&, Responder& out) -> awaitable<void> {
    co_await out.json(200, srv6_json(box.srv6()).dump());
  });
  server.route("GET", "/v1/sla", [&box](Request&, Responder& out) -> awaitable<void> {
    co_await out.json(200, box.slas().list().dump());
  });
  server.route("PUT", "/v1/sla/{name}",
               [&box](Request& in, Responder& out) -> awaitable<void> { co_await put_sla(box, in, out); });
  server.route("GET", "/v1/sla/{name}", [&box](Request& in, Responder& out) -> awaitable<void> {
    if (const auto found = box.slas().show(std::string(in.capture("name"))))
      co_await out.json(200, found->dump());
    else
      co_await out.error(404, "no_such_sla", "nothing was asked under that name", "GET /v1/sla lists all");
  });
  server.route("DELETE", "/v1/sla/{name}", [&box](Request& in, Responder& out) -> awaitable<void> {
    if (box.slas().erase(std::string(in.capture("name"))))
      co_await out.json(200, "{}");
    else
      co_await out.error(404, "no_such_sla", "nothing was asked under that name", "GET /v1/sla lists all");
  });
  server.route("GET", "/v1/capture", [&box](Request& in, Responder& out) -> awaitable<void> {
    co_await stream_capture(box, in, out);
  });
  server.route("GET", "/v1/events",
               [&box](Request&, Responder& out) -> awaitable<void> { co_await stream_events(box, out); });
  server.route("GET", "/metrics", [&box](Request&, Responder& out) -> awaitable<void> {
    co_await out.send(200, "text/plain; version=0.0.4", box.metrics().text());
  });
}

}  // namespace qanat::app
