#include "dataplane/app/qos_config.hh"

#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <memory>
#include <string>

#include "base/config.hh"

namespace qanat::app {
namespace {

constexpr std::string_view kRateExpected = "a rate such as \"50mbit\", \"1.5gbit\", \"800kbit\"";
constexpr std::array<std::string_view, 7> kDays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

std::optional<unsigned> parse_number(std::string_view text, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

// "22:00-06:00": minutes of the day; 24:00 may end it.
bool parse_hours(std::string_view text, qos::Window& window) {
  const auto minute = [](std::string_view t) -> std::optional<unsigned> {
    if (t.size() != 5 || t[2] != ':') return std::nullopt;
    const auto hour = parse_number(t.substr(0, 2), 24), minutes = parse_number(t.substr(3), 59);
    if (!hour || !minutes || *hour * 60 + *minutes > 24 * 60) return std::nullopt;
    return *hour * 60 + *minutes;
  };
  if (text.size() != 11 || text[5] != '-') return false;
  const auto first = minute(text.substr(0, 5)), last = minute(text.substr(6));
  if (!first || !last || *first == *last || *first == 24 * 60) return false;
  window.first = *first;
  window.last = *last;
  return true;
}

// "sat", "mon-fri", "sun-tue".
bool parse_days(std::string_view text, std::uint8_t& days) {
  const auto day = [](std::string_view t) {
    return std::find(kDays.begin(), kDays.end(), t) - kDays.begin();
  };
  const std::size_t dash = text.find('-');
  const auto first = day(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : day(text.substr(dash + 1));
  if (first == 7 || last == 7) return false;
  for (auto d = first;; d = (d + 1) % 7) {
    days |= static_cast<std::uint8_t>(1u << d);
    if (d == last) return true;
  }
}

// "9000" or "9000-9100".
std::optional<qos::PortRange> parse_ports(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_number(text.substr(0, dash), 65535);
  const auto last = dash == std::string_view::npos ? first : parse_number(text.substr(dash + 1), 65535);
  if (!first || !last || *first > *last) return std::nullopt;
  return qos::PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
  if (text == "tcp") return packet::kProtocolTcp;
  if (text == "udp") return packet::kProtocolUdp;
  if (text == "icmp") return packet::kProtocolIcmp;
  if (text == "icmpv6") return packet::kProtocolIcmpV6;
  const auto number = parse_number(text, 255);
  return number ? std::optional(static_cast<std::uint8_t>(*number)) : std::nullopt;
}

// The expression's program, or what libpcap says is wrong with it.
std::vector<qos::BpfInstruction> compile(const std::string& expression, std::string& wrong) {
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> pcap(pcap_open_dead(DLT_RAW, 65535), pcap_close);
  bpf_program program{};
  if (pcap_compile(pcap.get(), &program, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    wrong = pcap_geterr(pcap.get());
    return {};
  }
  std::vector<qos::BpfInstruction> out;
  for (u_int i = 0; i < program.bf_len; ++i)
    out.push_back(
        {program.bf_insns[i].code, program.bf_insns[i].jt, program.bf_insns[i].jf, program.bf_insns[i].k});
  pcap_freecode(&program);
  if (!qos::valid_program(out)) wrong = "libpcap compiled it to a program that may not run";
  return out;
}

template <class T>
std::optional<T> read_text(base::ConfigTable& table, std::string_view key,
                           std::optional<T> (*parse)(std::string_view), const char* expected) {
  const auto text = table.optional_string(key);
  if (!text) return std::nullopt;
  const auto value = parse(*text);
  if (!value) table.problem(key, "'" + *text + "' is none", expected);
  return value;
}

void read_rule(base::ConfigTable& table, QosConfig& config) {
  qos::Rule rule;
  rule.tier = ids::parse_tier(table.one_of("tier", {"critical", "interactive", "bulk", "scavenger"}))
                  .value_or(ids::Tier::Bulk);
  if (const auto vni = table.optional_integer("tenant", {1, ids::Vni::kMax}))
    rule.tenant = ids::Vni{static_cast<std::uint32_t>(*vni)};
  if (const auto dscp = table.optional_integer("dscp", {0, 63})) rule.dscp = static_cast<std::uint8_t>(*dscp);
  constexpr const char* kPrefix = "a prefix such as \"100.96.0.0/16\", without host bits";
  constexpr const char* kPorts = "a port or a range, \"9000\" or \"9000-9100\"";
  rule.protocol = read_text(table, "protocol", parse_protocol, "tcp, udp, icmp, icmpv6 or 0 to 255");
  rule.source = read_text(table, "source", packet::parse_ip_prefix, kPrefix);
  rule.destination = read_text(table, "destination", packet::parse_ip_prefix, kPrefix);
  rule.source_ports = read_text(table, "source_port", parse_ports, kPorts).value_or(qos::PortRange{});
  rule.destination_ports =
      read_text(table, "destination_port", parse_ports, kPorts).value_or(qos::PortRange{});
  if (const auto expression = table.optional_string("pcap")) {
    std::string wrong;
    rule.program = compile(*expression, wrong);
    if (!wrong.empty())
      table.problem("pcap", wrong, "an expression as tcpdump takes them, such as \"tcp port 9000\"");
  }
  config.policy.rules.push_back(std::move(rule));
}

}  // namespace

qos::PolicyConfig QosConfig::at(const qos::WeekTime& time) const {
  qos::PolicyConfig out = policy;
  for (const auto& [vni, plan] : plans) out.tenants[vni] = plan.at(time);
  return out;
}

std::optional<std::uint64_t> parse_rate(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const double scale = unit == "bit"    ? 1
                       : unit == "kbit" ? 1e3
                       : unit == "mbit" ? 1e6
                       : unit == "gbit" ? 1e9
                                        : 0;
  value = std::round(value * scale);
  if (!(value >= 1) || value > 1e13) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

void read_qos(base::ConfigTable& root, QosConfig& config) {
  if (auto table = root.table("qos")) {
    qos::TierShares& shares = config.policy.shares;
    shares.critical = table->number("critical_share", {0.01, 0.99}, shares.critical);
    shares.interactive =
        static_cast<std::uint32_t>(table->integer("interactive_weight", {1, 100}, shares.interactive));
    shares.bulk = static_cast<std::uint32_t>(table->integer("bulk_weight", {1, 100}, shares.bulk));
    using std::chrono::milliseconds;
    const auto queue = [&](std::string_view key, qos::CoDelOptions& codel) {
      codel = qos::CoDelOptions::for_target(
          table->duration(key, milliseconds{1}, milliseconds{1000}, codel.target));
    };
    queue("interactive_queue", config.policy.interactive_queue);
    queue("bulk_queue", config.policy.bulk_queue);
  }
  for (auto& rule : root.tables("classify")) read_rule(rule, config);
}

std::uint64_t read_rate(base::ConfigTable& table, std::string_view key) {
  const auto text = table.optional_string(key);
  if (!text) return 0;
  const auto rate = parse_rate(*text);
  if (!rate) table.problem(key, "'" + *text + "' is no rate", std::string(kRateExpected));
  return rate.value_or(0);
}

void read_line_rate(base::ConfigTable& line, QosConfig& config) {
  const std::uint64_t rate = read_rate(line, "rate");
  config.policy.line_bps.push_back(rate);
}

void read_tenant_rates(base::ConfigTable& tenant, std::uint32_t vni, QosConfig& config) {
  qos::TenantPlan plan;
  qos::TenantRates& rates = plan.rates;
  rates.committed_bps = read_rate(tenant, "committed");
  rates.burst_bps = read_rate(tenant, "burst");
  rates.critical_bps = read_rate(tenant, "critical_rate");
  if (tenant.has("bulk")) {
    const std::string text = tenant.string("bulk");
    const auto rate = parse_rate(text);
    rates.bulk_closed = text == "none";
    rates.bulk_bps = rate.value_or(0);
    if (!rate && text != "none")
      tenant.problem("bulk", "'" + text + "' is no rate", std::string(kRateExpected) + ", or \"none\"");
  }
  if (rates.burst_bps != 0 && rates.committed_bps > rates.burst_bps)
    tenant.problem("committed", "is more than burst", "what is promised, at most what is allowed");
  for (auto& table : tenant.tables("window")) {
    qos::Window window;
    const std::string hours = table.string("hours", "00:00-24:00");
    if (!parse_hours(hours, window))
      table.problem("hours", "'" + hours + "' is no time of day", "\"22:00-06:00\", from and until before");
    const auto days = table.strings("days");
    if (!days.empty()) window.days = 0;
    for (const std::string& day : days)
      if (!parse_days(day, window.days))
        table.problem("days", "'" + day + "' is no day",
                      "\"mon\" to \"sun\", or a range such as \"mon-fri\"");
    window.bulk_bps = read_rate(table, "bulk");
    plan.windows.push_back(window);
  }
  if (rates != qos::TenantRates{} || !plan.windows.empty()) config.plans[vni] = std::move(plan);
}

qos::WeekTime week_time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return {static_cast<unsigned>((local.tm_wday + 6) % 7),
          static_cast<unsigned>(local.tm_hour * 60 + local.tm_min)};
}

}  // namespace qanat::app
