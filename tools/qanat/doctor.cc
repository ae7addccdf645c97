#include "tools/qanat/doctor.hh"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

namespace qanat::cli {
using nlohmann::json;
using Came = ControllerEvidence::Came;
namespace {

// Tokens and certificates allow five minutes; two leave time to mend it.
constexpr std::int64_t kClockFaultMs = 120'000;
constexpr std::int64_t kClockNoteMs = 2'000;
// A search for the path MTU is over by then.
constexpr std::int64_t kSearchSeconds = 15;
constexpr unsigned kSearchStep = 8;

const char* const kSetClock =
    "set the clock (`timedatectl set-ntp true`, or chrony); tokens and certificates allow 5 minutes";

std::string day(base::UnixSeconds at) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(at)));
}

std::string plane_name(unsigned plane) {
  return plane == 1 ? "private" : plane == 2 ? "internet" : std::to_string(plane);
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::Good: return "good";
    case Verdict::Unknown: return "unknown";
    case Verdict::Note: return "note";
    case Verdict::Fault: return "fault";
  }
  return "unknown";
}

Finding judge_controllers(const std::vector<ControllerEvidence>& controllers) {
  if (controllers.empty())
    return {"controller", Verdict::Unknown, "no controller is configured", "[controller] addresses"};
  const auto best =
      std::min_element(controllers.begin(), controllers.end(), [](const auto& a, const auto& b) {
        const auto rank = [](const ControllerEvidence& e) {  // what says most stands first
          return e.came == Came::Trusted ? 0 : e.came == Came::Silent ? 3 : e.came == Came::Refused ? 2 : 1;
        };
        return rank(a) < rank(b);
      });
  const std::string& at = best->address;
  switch (best->came) {
    case Came::Trusted:
      return {"controller", Verdict::Good, fmt::format("{} answers with a certificate of our CA", at), {}};
    case Came::Refused:
      return {"controller", Verdict::Fault, fmt::format("unreachable: nobody listens at {}", at),
              "on its host: `systemctl status qanat-controller`; is the port that of its `listen`?"};
    case Came::Silent:
      return {"controller", Verdict::Fault, fmt::format("unreachable: {}: {}", at, best->detail),
              "is the host up, and its TCP port open to this box? `ip route get` its address"};
    case Came::Untrusted:
      return {
          "controller", Verdict::Fault,
          fmt::format("wrong CA: {} shows a certificate that our CA did not sign", at),
          "it is another network's controller, or was set up anew: correct [controller] addresses, or empty "
          "state_dir and join again by a new `qanat box invite`"};
    case Came::NotYetValid:
      return {"controller", Verdict::Fault, fmt::format("{}'s certificate is not valid yet by our clock", at),
              kSetClock};
    case Came::Expired:
      return {"controller", Verdict::Fault, fmt::format("{}'s certificate has expired by our clock", at),
              fmt::format("{}; or restart the controller, which makes itself a new one", kSetClock)};
    case Came::Broken: break;
  }
  return {"controller", Verdict::Fault, fmt::format("{}: {}", at, best->detail),
          "is it a qanat-controller's `listen` address?"};
}

Finding judge_certificate(const CertificateEvidence& c, base::UnixSeconds now) {
  const char* const join = "`qanat box invite` on the controller's host, and on this box what it prints";
  if (!c.there) return {"certificate", Verdict::Fault, fmt::format("absent: no {}", c.file), join};
  if (!c.of_our_ca)
    return {"certificate", Verdict::Fault, "no CA that this box holds signed its certificate",
            fmt::format("restore {} from a backup, or empty state_dir and join again: {}", c.file, join)};
  if (now > c.not_after)
    return {"certificate", Verdict::Fault,
            fmt::format("expired on {}; it is {} here", day(c.not_after), day(now)),
            fmt::format("if the clock is right, join again with an empty state_dir: {}", join)};
  if (now < c.not_before)
    return {"certificate", Verdict::Fault,
            fmt::format("valid from {}; it is {} here", day(c.not_before), day(now)), kSetClock};
  if (now > c.not_after - (c.not_after - c.not_before) / 6)
    return {"certificate", Verdict::Note, fmt::format("ends on {}, and was not renewed", day(c.not_after)),
            "it renews itself while a controller is connected"};
  return {"certificate", Verdict::Good, fmt::format("good until {}", day(c.not_after)), {}};
}

Finding judge_clock(const json& status, const std::vector<ControllerEvidence>& controllers,
                    const CertificateEvidence& certificate, base::UnixSeconds now) {
  const json ahead = status.is_object() ? status["controller"].value("clock_ahead_ms", json()) : json();
  if (ahead.is_number()) {
    const auto ms = ahead.get<std::int64_t>();
    const std::string what =
        fmt::format("{:.1f} s {} the controller's", static_cast<double>(std::abs(ms)) / 1e3,
                    ms < 0 ? "behind" : "ahead of");
    if (std::abs(ms) >= kClockFaultMs) return {"clock", Verdict::Fault, "skewed: " + what, kSetClock};
    if (std::abs(ms) >= kClockNoteMs) return {"clock", Verdict::Note, what, kSetClock};
    return {"clock", Verdict::Good, what, {}};
  }
  for (const ControllerEvidence& c : controllers)
    if (c.came == Came::NotYetValid || (c.came == Came::Expired && now > certificate.not_after))
      return {"clock", Verdict::Fault,
              fmt::format("skewed, it seems: it is {} here, and certificates are {}", day(now),
                          c.came == Came::Expired ? "past their end" : "not valid yet"),
              kSetClock};
  if (certificate.there && now < certificate.not_before)
    return {"clock", Verdict::Fault,
            fmt::format("skewed: it is {} here, before our certificate was made", day(now)), kSetClock};
  return {"clock", Verdict::Unknown, "no controller has told its time yet", {}};
}

std::vector<Finding> judge_udp(const json& peers, const std::map<unsigned, std::string>& lines) {
  struct Seen {
    std::set<std::string> alive, dead;
  };
  std::map<unsigned, Seen> planes;
  std::map<std::string, bool> reached;
  for (const json& peer : peers)
    for (const json& a : peer["adjacencies"]) {
      const std::string name = peer.value("name", "?");
      const bool alive = a.value("alive", false);
      Seen& seen = planes[a.value("local_plane", 0u)];
      (alive ? seen.alive : seen.dead).insert(name);
      reached[name] = reached[name] || alive;
    }
  if (planes.empty()) return {{"udp", Verdict::Unknown, "this box knows no other box yet", {}}};
  std::vector<Finding> out;
  for (const auto& [plane, seen] : planes) {
    if (!seen.alive.empty()) continue;
    const auto line = lines.find(plane);
    const std::string where = line == lines.end() ? "" : fmt::format(" (UDP {})", line->second);
    out.push_back({"udp", Verdict::Fault,
                   fmt::format("blocked on plane {}{}: no datagram comes back from {}", plane_name(plane),
                               where, fmt::join(seen.dead, ", ")),
                   "let that UDP port pass both ways: firewall of this host, security group, middleboxes; "
                   "`qanat capture NODE --side sealed` shows what leaves and what comes"});
  }
  for (const auto& [name, alive] : reached)
    if (!alive && out.size() < planes.size())
      out.push_back({"udp", Verdict::Note, fmt::format("{} answers on no line", name),
                     "is it down? `qanat node list` on the controller's host"});
  if (out.empty()) out.push_back({"udp", Verdict::Good, fmt::format("{} boxes answer", reached.size()), {}});
  return out;
}

std::vector<Finding> judge_mtu(const json& status, const json& peers, const KernelPayload& kernel) {
  if (!status.is_object() || status.value("uptime_s", std::int64_t{0}) < kSearchSeconds)
    return {{"mtu", Verdict::Unknown, "the search for each path's MTU takes the first 15 s", {}}};
  std::vector<Finding> out;
  bool any = false;
  for (const json& peer : peers)
    for (const json& a : peer["adjacencies"]) {
      const unsigned passes = a.value("mtu", 0u);
      const auto believed = kernel.find(a.value("address", ""));
      if (!a.value("alive", false) || passes == 0 || believed == kernel.end()) continue;
      any = true;
      if (passes + kSearchStep > believed->second) continue;
      const unsigned header = believed->first.starts_with('[') ? 48 : 28;
      out.push_back(
          {"mtu", Verdict::Fault,
           fmt::format("black hole towards {} on plane {}: packets over {} bytes vanish without a word, "
                       "{} should pass",
                       peer.value("name", "?"), plane_name(a.value("local_plane", 0u)), passes + header,
                       believed->second + header),
           fmt::format("tenants' packets are cut to fit already; to end it let ICMP \"too big\" pass, or set "
                       "the line's interface: `ip link set DEV mtu {}`",
                       passes + header)});
    }
  if (!any) return {{"mtu", Verdict::Unknown, "no line to another box is up", {}}};
  if (out.empty()) out.push_back({"mtu", Verdict::Good, "each line carries what its interface says", {}});
  return out;
}

Finding judge_offload(const json& status, const json& counters) {
  if (status.is_object() && !status.value("udp_offloads", true))
    return {"offload", Verdict::Fault,
            "broken: this kernel refuses UDP segmentation or gathering, or returns wrong bytes; both are off",
            "slower, not wrong: a newer kernel mends it"};
  const auto refused = counters.is_object() ? counters.value("udp_segment_fallback", std::uint64_t{0}) : 0;
  if (refused > 0)
    return {
        "offload", Verdict::Fault,
        fmt::format("broken: the kernel refused UDP segmentation {} times; datagrams go one by one, slower",
                    refused),
        "switch checksumming on at the line's device, `ethtool -K DEV tx on`; or say udp_segment = false in "
        "[forwarding.offloads]"};
  if (!counters.is_object()) return {"offload", Verdict::Unknown, "qanatd does not answer", {}};
  return {"offload", Verdict::Good, "UDP segmentation works", {}};
}

std::vector<Finding> judge_pools(const json& pools) {
  std::vector<Finding> out;
  std::size_t good = 0;
  for (const json& pool : pools) {
    const std::string url = pool.value("url", "?");
    const std::string error = pool.value("error", std::string{});
    if (pool.value("fresh", false)) {
      ++good;
      continue;
    }
    const std::string node = pool.value("node", std::string{});
    out.push_back(
        {"pool", Verdict::Fault,
         fmt::format("{} is unreachable{}{}", url, node.empty() ? "" : fmt::format(" (behind {})", node),
                     error.empty() ? "" : ": " + error),
         fmt::format("on its host: `systemctl status qanat-pool`; from here: `curl {}/healthz`{}", url,
                     node.empty() ? "" : fmt::format(", `qanat path show HERE {}`", node))});
  }
  if (out.empty())
    out.push_back({"pool",
                   good > 0 ? Verdict::Good : Verdict::Unknown,
                   good > 0 ? fmt::format("{} of {} answer", good, good) : "the gateway has no pools",
                   {}});
  return out;
}

}  // namespace qanat::cli
