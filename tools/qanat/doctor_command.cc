// qanat doctor: looks at one box from its host, names what is wrong and what to do.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "tools/linkem/netns.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/doctor_probes.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

struct Patient {
  std::string config, socket, gateway_socket, netns;
};

Patient find_patient(const Options& options, const DoctorRequest& request) {
  Patient out{request.config, options.socket, request.gateway_socket, {}};
  if (!request.node.empty()) {
    const auto state = find_lab(options);
    const lab::NodeState* node = state ? state->node(request.node) : nullptr;
    if (node == nullptr || node->socket.empty())
      throw CommandError{kNotFound, fmt::format("no lab here has a box {}", request.node),
                         "without a name, the box of this host is looked at"};
    out.netns = node->netns;
    if (out.config.empty()) out.config = fmt::format("{}/qanatd-{}.toml", state->folder(), request.node);
    for (const auto& gateway : state->gateways)
      if (gateway.node == request.node && out.gateway_socket.empty()) out.gateway_socket = gateway.socket;
  }
  if (out.config.empty()) out.config = "/etc/qanat/qanatd.toml";
  if (out.gateway_socket.empty()) out.gateway_socket = "/run/qanat/gateway.sock";
  return out;
}

json answer_of(const std::string& socket, const std::string& target, std::string& problem) {
  json out;
  if (socket.empty() || !try_ask({"qanatd", "unix:" + socket, {}, {}}, target, out, problem)) return nullptr;
  return out;
}

std::vector<Finding> examine(const Patient& patient) {
  const linkem::NetnsScope inside{patient.netns};
  std::vector<Finding> out;
  const auto add = [&out](std::vector<Finding> more) {
    out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  BoxFile box;
  out.push_back(probe_tun());
  out.push_back(probe_configuration(patient.config, box));
  out.push_back(probe_state(box.state_dir));
  const std::string socket = patient.socket.empty() ? box.socket : patient.socket;
  std::string problem = "no socket is known";
  const json status = answer_of(socket, "/v1/status", problem);
  const bool answers = status.is_object();
  if (answers)
    out.push_back(
        {"daemon", Verdict::Good, fmt::format("qanatd runs, since {} s", status.value("uptime_s", 0)), {}});
  else
    out.push_back({"daemon", Verdict::Fault, "qanatd does not answer: " + problem,
                   "mend what else is named here, then `systemctl restart qanatd`; `journalctl -u qanatd` "
                   "says why it ended"});
  add(probe_addresses(box, answers));
  const base::UnixSeconds now = base::unix_now();
  const CertificateEvidence certificate = probe_certificate(box.state_dir);
  const std::vector<ControllerEvidence> controllers = probe_controllers(box);
  if (!box.state_dir.empty()) out.push_back(judge_certificate(certificate, now));
  if (certificate.there) out.push_back(judge_controllers(controllers));
  out.push_back(judge_clock(status, controllers, certificate, now));
  if (answers) {
    const json peers = answer_of(socket, "/v1/peers", problem);
    std::map<unsigned, std::string> lines;
    for (const BoxFile::Line& line : box.lines)
      lines[line.plane] = fmt::format("{} port {}", line.address, line.port);
    std::vector<std::string> addresses;
    for (const json& peer : peers)
      for (const json& a : peer["adjacencies"]) addresses.push_back(a.value("address", ""));
    add(judge_udp(peers, lines));
    add(judge_mtu(status, peers, kernel_payloads(addresses)));
    out.push_back(judge_offload(status, answer_of(socket, "/v1/counters", problem)));
  }
  if (const json pools = answer_of(patient.gateway_socket, "/v1/pools", problem); pools.is_array())
    add(judge_pools(pools));
  return out;
}

}  // namespace

int doctor(const Options& options, const DoctorRequest& request) {
  const std::vector<Finding> findings = examine(find_patient(options, request));
  const auto faults = std::count_if(findings.begin(), findings.end(),
                                    [](const Finding& f) { return f.verdict == Verdict::Fault; });
  if (options.json) {
    json list = json::array();
    for (const Finding& f : findings)
      list.push_back(
          {{"check", f.check}, {"verdict", to_string(f.verdict)}, {"what", f.what}, {"remedy", f.remedy}});
    fmt::print("{}\n", json{{"faults", faults}, {"findings", std::move(list)}}.dump(2));
  } else {
    for (const Finding& f : findings) {
      fmt::print("{:<7} {:<13} {}\n", to_string(f.verdict), f.check, f.what);
      if (!f.remedy.empty() && f.verdict >= Verdict::Note) fmt::print("{:<21} → {}\n", "", f.remedy);
    }
    fmt::print("\n{}\n", faults == 0   ? "nothing is wrong"
                         : faults == 1 ? "one fault"
                                       : fmt::format("{} faults; mend the first one first", faults));
  }
  return faults == 0 ? 0 : kFailed;
}

}  // namespace qanat::cli
