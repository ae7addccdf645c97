#include "dataplane/app/srv6_config.hh"

#include <fstream>
#include <iterator>

#include "base/config.hh"
#include "dataplane/io/srv6_port.hh"
#include "dataplane/io/tun_device.hh"

namespace qanat::app {
namespace {

packet::IpAddress read_sid(base::ConfigTable& table, std::string_view key, const std::string& text) {
  const auto address = packet::parse_ip_address(text);
  if (address && address->family == packet::IpFamily::V6) return *address;
  if (!text.empty()) table.problem(key, "'" + text + "' is no IPv6 address", "such as \"fc00:a::1\"");
  return {};
}

std::vector<packet::IpPrefix> read_prefixes(base::ConfigTable& table, std::string_view key) {
  std::vector<packet::IpPrefix> out;
  for (const std::string& text : table.strings(key)) {
    if (const auto prefix = packet::parse_ip_prefix(text)) {
      out.push_back(*prefix);
    } else {
      table.problem(key, "'" + text + "' is no prefix", "such as \"2001:db8:2::/64\", host bits zero");
    }
  }
  return out;
}

ids::Vni read_vni(base::ConfigTable& table) {
  return ids::Vni{static_cast<std::uint32_t>(table.integer("vni", {0, ids::Vni::kMax}, 0))};
}

std::uint16_t read_link(base::ConfigTable& table, const Srv6Config& config) {
  const std::string device = table.string("link", "");
  for (std::size_t i = 0; i < config.links.size(); ++i)
    if (device.empty() || config.links[i].device == device) return static_cast<std::uint16_t>(i);
  table.problem("link", "no link has device '" + device + "'", "the device of one of [[srv6.link]]");
  return 0;
}

void read_key(base::ConfigTable& table, Srv6Config& config) {
  srv6::HmacKey key;
  key.id = static_cast<std::uint32_t>(table.integer("id", {1, 0xffffffff}));
  const std::string file = table.string("secret_file");
  std::ifstream in(file, std::ios::binary);
  if (!file.empty() && !in)
    table.problem("secret_file", "cannot read '" + file + "'", "a file with 1 to 64 bytes");
  key.secret.assign(std::istreambuf_iterator<char>(in), {});
  // An editor's newline is not part of the secret.
  if (!key.secret.empty() && key.secret.back() == '\n') key.secret.pop_back();
  config.tables.hmac_keys.push_back(std::move(key));
}

void read_policy(base::ConfigTable& table, Srv6Config& config) {
  srv6::Policy policy;
  policy.name = table.string("name");
  for (const std::string& text : table.strings("segments", true))
    policy.segments.push_back(read_sid(table, "segments", text));
  if (table.boolean("reduced", false)) policy.encapsulation = srv6::Encapsulation::Reduced;
  policy.hmac_key = static_cast<std::uint32_t>(table.integer("hmac_key", {0, 0xffffffff}, 0));
  policy.hmac_flag = table.boolean("hmac_flag", false);
  policy.vni = read_vni(table);
  policy.prefixes = read_prefixes(table, "prefixes");
  policy.link = read_link(table, config);
  config.tables.policies.push_back(std::move(policy));
}

void read_local_sid(base::ConfigTable& table, Srv6Config& config) {
  srv6::LocalSid sid;
  sid.sid = read_sid(table, "sid", table.string("sid"));
  const std::string behaviour = table.string("behavior");
  if (const auto parsed = srv6::parse_behaviour(behaviour)) {
    sid.behaviour = *parsed;
  } else if (!behaviour.empty()) {
    table.problem(
        "behavior", "'" + behaviour + "' is none that this edge has",
        "End, End.X, End.DT4, End.DT6, End.DT46, End.DX4, End.DX6, End.B6.Encaps or End.B6.Overlay");
  }
  for (const std::string& flavour : table.strings("flavors")) {
    if (flavour == "psp") {
      sid.psp = true;
    } else if (flavour == "usd") {
      sid.usd = true;
    } else if (flavour != "usp") {  // always so here: see docs/supported-rfcs.md
      table.problem("flavors", "'" + flavour + "' is no flavour", "psp, usp or usd");
    }
  }
  const std::string hmac = table.one_of("hmac", {"ignore", "if_present", "required"}, "if_present");
  sid.hmac = srv6::parse_hmac_rule(hmac).value_or(srv6::HmacRule::Required);
  sid.vni = read_vni(table);
  if (const auto tier = table.optional_string("tier")) {
    sid.tier = ids::parse_tier(*tier);
    if (!sid.tier)
      table.problem("tier", "'" + *tier + "' is no tier", "critical, interactive, bulk or scavenger");
  }
  sid.link = read_link(table, config);
  sid.policy = table.string("policy", "");
  config.tables.sids.push_back(std::move(sid));
}

}  // namespace

void read_srv6(base::ConfigTable& root, Srv6Config& config) {
  auto table = root.table("srv6");
  if (!table) return;
  config.tables.address = read_sid(*table, "address", table->string("address"));
  config.tables.mtu = static_cast<std::size_t>(table->integer("mtu", {1280, io::Srv6Port::kMaxMtu}, 1500));
  config.tables.sources = read_prefixes(*table, "sources");
  for (auto& link : table->tables("link", true)) {
    Srv6Link out;
    out.device = link.string("device");
    out.netns = link.string("netns", "");
    for (const auto& prefix : read_prefixes(link, "routes")) out.routes.push_back(to_string(prefix));
    if (out.device.size() > io::kMaxDeviceName)
      link.problem("device", "'" + out.device + "' is too long", "at most 15 characters");
    config.links.push_back(std::move(out));
  }
  config.tables.links = config.links.size();
  for (auto& key : table->tables("hmac_key")) read_key(key, config);
  for (auto& policy : table->tables("policy")) read_policy(policy, config);
  for (auto& sid : table->tables("sid")) read_local_sid(sid, config);
  std::vector<std::string> problems;
  config.checked = srv6::Tables::make(config.tables, problems);
  for (const std::string& problem : problems) table->problem("", problem, "a sound SRv6 edge");
}

}  // namespace qanat::app
