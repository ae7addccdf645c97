// A change that some boxes get first: how it is asked for, seen, and ended.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "controller/northbound/desk.hh"
#include "controller/northbound/desk_views.hh"
#include "controller/northbound/json_views.hh"

namespace qanat::northbound {
namespace {

constexpr std::uint32_t kLeastWatch = 5, kMostWatch = 3600;  // seconds
constexpr std::string_view kCanaryHint = "canary=5%25, canary=3 or canary=far1,far2; watch_s=60";

template <class T>
bool whole_number(std::string_view text, T& out) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && rest == text.data() + text.size();
}

// "5%", "3", or names with commas between them.
std::optional<session::CanaryPlan> plan_of(std::string_view text) {
  session::CanaryPlan plan;
  std::uint32_t number = 0;
  if (text.ends_with('%')) {
    if (!whole_number(text.substr(0, text.size() - 1), number) || number < 1 || number > 99)
      return std::nullopt;
    plan.share_permille = number * 10;
    return plan;
  }
  if (whole_number(text, number)) {
    plan.boxes = number;
    return number == 0 ? std::nullopt : std::optional(plan);
  }
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    if (end != 0) plan.names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return plan.names.empty() ? std::nullopt : std::optional(plan);
}

}  // namespace

Reply Desk::apply(Request& in, const Caller& caller) {
  constexpr std::string_view kHint = "GET /v1/intent shows a document with every section";
  const auto bad = [](std::string what, std::string_view hint) {
    return failed(400, "bad_request", std::move(what), hint);
  };
  const auto wanted = parse_intent(in.body);
  if (const auto* problems = std::get_if<Problems>(&wanted)) return bad(joined(*problems), kHint);
  std::optional<session::CanaryPlan> plan;
  if (const auto share = in.parameter("canary")) {
    plan = plan_of(*share);
    if (!plan) return bad("canary: a share of 1% to 99%, a number of boxes, or names", kCanaryHint);
    if (const auto watch = in.parameter("watch_s");
        watch &&
        (!whole_number(*watch, plan->watch_s) || plan->watch_s < kLeastWatch || plan->watch_s > kMostWatch))
      return bad(fmt::format("watch_s: {} to {} seconds", kLeastWatch, kMostWatch), kCanaryHint);
  }
  const auto dry = in.parameter("dry_run");
  const auto run = dry && *dry != "false" ? Intents::Run::Dry : Intents::Run::Real;
  return replied(intents_.apply(std::get<Wanted>(wanted), run, plan ? "apply to canaries" : "apply",
                                {caller.name, in.peer}, now(), plan ? &*plan : nullptr),
                 kHint);
}

Reply Desk::settle(session::CanaryEnd end, Request& in, const Caller& caller) {
  const auto settled = intents_.settle_at_once(end, {caller.name, in.peer}, now());
  if (!settled)
    return failed(409, "not_now", "no canary is under way", "POST /v1/apply?canary=5%25 begins one");
  told(*settled);
  return {.body = canary_json(), .result = fmt::format("version {}", settled->in_force)};
}

void Desk::on_timer(session::Now now) {
  if (intents_.watched() == 0) return;
  const auto settled = intents_.settle(now);
  if (!settled) return;
  told(*settled);
  const std::string verdict = settled->passed ? "passed" : "taken back: " + joined(settled->faults);
  audit_.add({.caller = {"qanat-controller", Role::Operator},
              .from = "",
              .action = fmt::format("canary of version {}", settled->version),
              .body = "",
              .status = 200,
              .result = fmt::format("{}; version {}", verdict, settled->in_force)},
             now.unix_s);
}

void Desk::told(const Intents::Settled& settled) {
  settled_ = settled;
  const std::string why = joined(settled.faults);
  if (settled.passed) {
    base::log_info("canary of version {} passed", settled.version);
  } else {
    base::log_warn("canary of version {} taken back: {}", settled.version, why);
  }
  session::Event event{
      settled.passed ? "canary_passed" : "canary_taken_back",
      {{"version", std::to_string(settled.version)}, {"in_force", std::to_string(settled.in_force)}}};
  if (!why.empty()) event.fields.emplace_back("why", why);
  events.publish(event.kind, to_json(event));
}

// The one under way, or else the last since this controller's start.
std::string Desk::canary_json() const {
  nlohmann::ordered_json json{{"state", "none"}};
  if (const auto view = level_.canary(); view && intents_.watched() != 0) {
    json = {{"state", "running"},           {"version", intents_.watched()}, {"canaries", view->canaries},
            {"held_back", view->held_back}, {"until_unix_s", view->until},   {"faults", view->faults}};
  } else if (settled_) {
    json = {{"state", settled_->passed ? "passed" : "taken_back"},
            {"version", settled_->version},
            {"in_force", settled_->in_force},
            {"faults", settled_->faults}};
  }
  return json.dump();
}

}  // namespace qanat::northbound
