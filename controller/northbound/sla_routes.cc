// Promises to tenants: what became of them, as a list, as series, and as lines of the audit log when they turn.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "controller/northbound/desk.hh"
#include "controller/northbound/json_views.hh"

namespace qanat::northbound {
namespace {

using session::SlaView;

const char* text_of(SlaView::State state) {
  switch (state) {
    case SlaView::State::Unknown: return "unknown";
    case SlaView::State::Kept: return "kept";
    case SlaView::State::Broken: return "broken";
  }
  return "";
}

base::Labels labels_of(const SlaView& sla) {
  return {{"tenant", sla.tenant}, {"tier", std::string(ids::to_string(sla.tier))}, {"term", sla.term}};
}

constexpr const char* kBroken = "qanat_sla_broken";
constexpr const char* kPairsBroken = "qanat_sla_pairs_broken";
constexpr const char* kWorst = "qanat_sla_worst_ratio";

}  // namespace

void Desk::add_sla_routes(Routes& routes) {
  routes.look("/v1/slas", Need{Role::Viewer, true},
              [this](Request&, Responder& out, const Caller& caller) -> Answer {
                if (!level_.status(now()).leader.empty())
                  throw session::NotLeader("this controller only stands by");
                auto slas = level_.slas();
                if (!caller.tenant.empty())
                  std::erase_if(slas, [&](const auto& sla) { return sla.tenant != caller.tenant; });
                co_await out.json(200, to_json(slas));
              });
}

void Desk::add_sla_metrics() {
  auto& turned = metrics_.counter("qanat_sla_violations_total", "Promises to tenants that were broken");
  violations_ = &turned;
  metrics_.before_text([this] {
    for (const auto& labels : std::exchange(promised_, {}))
      for (const char* name : {kBroken, kPairsBroken, kWorst}) metrics_.remove(name, labels);
    for (const SlaView& sla : level_.slas()) {
      const auto& labels = promised_.emplace_back(labels_of(sla));
      metrics_.gauge(kBroken, "1: a promise to a tenant is broken, by term", labels)
          .set(sla.state == SlaView::State::Broken ? 1 : 0);
      metrics_.gauge(kPairsBroken, "Pairs of members that do not get it now", labels)
          .set(static_cast<double>(sla.broken));
      if (sla.worst && sla.limit != 0)
        metrics_.gauge(kWorst, "The worst pair's figure, as a part of the limit", labels)
            .set(static_cast<double>(*sla.worst) / sla.limit);
    }
  });
}

void Desk::on_event(const session::Event& event) {
  events.publish(event.kind, to_json(event));
  const bool broken = event.kind == "sla_broken";
  if (!broken && event.kind != "sla_kept") return;
  if (broken) violations_->add();
  std::string what = "sla", how = broken ? "broken" : "kept again";
  for (const auto& [key, value] : event.fields) {
    const bool names_it = key == "tenant" || key == "tier" || key == "term";
    (names_it ? what : how) += names_it ? " " + value : fmt::format("; {} {}", key, value);
  }
  audit_.add({.caller = {"qanat-controller", Role::Operator},
              .from = "",
              .action = what,
              .body = "",
              .status = 200,
              .result = how},
             base::unix_now());
}

std::string to_json(const std::vector<SlaView>& slas) {
  auto out = nlohmann::ordered_json::array();
  for (const SlaView& sla : slas) {
    const bool path = sla.term == "path";
    nlohmann::ordered_json json{{"tenant", sla.tenant},
                                {"tier", ids::to_string(sla.tier)},
                                {"term", sla.term},
                                {"state", text_of(sla.state)},
                                {"since_unix_s", sla.since},
                                {"pairs", sla.pairs},
                                {"broken", sla.broken},
                                {"from", sla.from},
                                {"to", sla.to},
                                {"limit", nullptr},
                                {"worst", nullptr},
                                {"unit", nullptr}};
    if (!path) {
      json["limit"] = sla.limit;
      json["unit"] = sla.term == "loss" ? "ppm" : "us";
    }
    if (sla.worst) json["worst"] = *sla.worst;
    out.push_back(std::move(json));
  }
  return out.dump();
}

}  // namespace qanat::northbound
