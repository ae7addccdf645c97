#include "tests/support/hierarchy.hh"

#include <malloc.h>
#include <time.h>

#include <random>
#include <stdexcept>

namespace qanat::test {
namespace {

constexpr base::Duration kStep = std::chrono::milliseconds(100);
constexpr base::Duration kExchange = std::chrono::milliseconds(500);  // as controller/session/uplink reports
constexpr base::Duration kReport = std::chrono::seconds(5);           // as boxes tell everything

double cpu_ms() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}
std::int64_t heap_bytes() {
  const auto info = mallinfo2();
  return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
}
std::string name_of(std::size_t place) { return "n" + std::to_string(place); }

}  // namespace

template <class F>
void Hierarchy::charge(Calls& to, F&& call) {
  const double before = cpu_ms();
  call();
  to.add(cpu_ms() - before);
}

std::int64_t Hierarchy::weigh_global() {
  const std::int64_t before = heap_bytes();
  global_.reset();
  return before - heap_bytes();
}

Hierarchy::Hierarchy(const HierarchyShape& shape, Rtt rtt_us) : shape_(shape), rtt_us_(std::move(rtt_us)) {
  global_ = std::make_unique<global::Global>("global", store_, authority_, up_, now_);
  up_.level = global_.get();
  up_.now = &now_;
  enrol();
  make_tenants();
}

Hierarchy::~Hierarchy() = default;

void Hierarchy::enrol() {
  for (std::uint32_t number = 1; number <= shape_.domains; ++number) {
    auto& domain = *domains_.emplace_back(std::make_unique<DomainWorld>(number, now_));
    proto::v1::EnrolRequest request;
    const std::string name = "d" + std::to_string(number);
    request.set_join_token(std::get<std::string>(global_->mint_join_token(name, false, 3600, now_)));
    request.set_name(name);
    request.set_csr_der(session::make_request(session::make_private_key(), name));
    request.set_domain_id(number);
    const auto ca = domain.authority.ca_public();
    request.set_ca_public(ca.data(), ca.size());
    const auto reply = global_->enrol(request, now_);
    if (!reply.has_enrolled()) throw std::runtime_error(reply.refusal().message());
    global_->on_open(number, domain.level->parent_hello(), now_);
    domain.level->on_parent(true);
  }
  for (std::size_t place = 0; place < shape_.nodes(); ++place) {
    auto& placed = boxes_.emplace_back();
    placed.box = std::make_unique<Box>(name_of(place), place % shape_.per_domain < shape_.relays);
    auto& domain = *domains_[place / shape_.per_domain];
    domain.enrol(*placed.box);
    domain.connect(*placed.box);
    places_[placed.box->id] = place;
    // Not all in one step.
    placed.reports_at =
        now_.mono + kStep * static_cast<int>(place % static_cast<std::size_t>(kReport / kStep));
  }
}

void Hierarchy::make_tenants() {
  std::mt19937 random(shape_.seed);
  for (std::uint32_t t = 0; t < shape_.nodes() / shape_.tenant; ++t) {
    std::set<std::size_t> members;
    const std::size_t home = std::size_t{t % shape_.domains} * shape_.per_domain;
    while (members.size() < shape_.tenant / 2) members.insert(home + random() % shape_.per_domain);
    while (members.size() < shape_.tenant) members.insert(random() % shape_.nodes());
    session::TenantView view{.name = "t" + std::to_string(t), .vni = 100 + t, .members = {}};
    for (const std::size_t member : members)
      view.members.push_back(
          {name_of(member), {"100.96." + std::to_string(view.members.size()) + ".1/32"}, {}});
    const auto problems = global_->put_tenant(view, now_);
    if (!problems.empty()) throw std::runtime_error(problems.front());
    for (const std::size_t a : members)
      for (const std::size_t b : members)
        if (a / shape_.per_domain != b / shape_.per_domain) pairs_.emplace(a, b);
  }
}

void Hierarchy::run(base::Duration time) {
  for (const base::Time end = now_.mono + time; now_.mono < end;) {
    now_.mono += kStep;
    for (std::size_t place = 0; place < boxes_.size(); ++place) step(place);
    for (std::uint32_t d = 1; d <= shape_.domains; ++d)
      charge(domain_ticks, [&] { domains_[d - 1]->level->on_timer(now_); });
    if (now_.mono >= next_exchange_) {
      next_exchange_ = now_.mono + kExchange;
      for (std::uint32_t d = 1; d <= shape_.domains; ++d) {
        Envelope envelope;
        *envelope.mutable_domain_report() = domains_[d - 1]->level->report(now_);
        report_bytes += envelope.ByteSizeLong();
        charge(reports, [&] { global_->on_envelope(d, envelope, now_); });
      }
    }
    charge(ticks, [&] { global_->on_timer(now_); });
    for (std::uint32_t d = 1; d <= shape_.domains; ++d) exchange(d);
  }
}

// What the global level has for a domain, and its answers.
void Hierarchy::exchange(std::uint32_t domain) {
  const std::vector<Envelope> mail = up_.take(domain);
  std::vector<Envelope> answers;
  for (const Envelope& envelope : mail) {
    if (envelope.has_domain_directive()) directive_bytes += envelope.ByteSizeLong();
    charge(directives, [&] {
      if (auto reply = domains_[domain - 1]->level->on_parent_envelope(envelope, now_))
        answers.push_back(std::move(*reply));
    });
  }
  for (const Envelope& answer : answers) global_->on_envelope(domain, answer, now_);
}

void Hierarchy::step(std::size_t place) {
  Placed& placed = boxes_[place];
  auto& domain = *domains_[place / shape_.per_domain];
  domain.deliver(*placed.box);
  if (placed.box->held.version() != placed.version) {
    if (placed.box->held.nodes_size() != placed.known) placed.hurried = 3;
    placed.known = placed.box->held.nodes_size();
    placed.version = placed.box->held.version();
    check_lists(*placed.box);
  }
  const bool hurried = placed.hurried > 0 && now_.mono.time_since_epoch() / kStep % 5 == 0;
  if (!hurried && now_.mono < placed.reports_at) return;
  if (hurried) --placed.hurried;
  if (now_.mono >= placed.reports_at) placed.reports_at += kReport;
  report(placed, place);
}

void Hierarchy::report(Placed& placed, std::size_t place) {
  if (placed.version == 0) return;
  Envelope envelope;
  auto& telemetry = *envelope.mutable_telemetry();
  for (const auto& record : placed.box->held.nodes()) {
    const auto other = places_.find(record.node_id());
    if (other == places_.end() || other->second == place) continue;
    auto& row = *telemetry.add_adjacencies();
    row.set_peer(record.node_id());
    row.set_local_plane(1);
    row.set_remote_plane(1);
    row.set_rtt_mean_us(rtt_us_(place, other->second));
    row.set_probes_sent(1);
    row.set_alive(true);
  }
  domains_[place / shape_.per_domain]->level->on_envelope(placed.box->id, envelope, now_);
}

void Hierarchy::check_lists(const Box& box) {
  for (const auto& policy : box.held.policies())
    for (const auto& path : policy.paths()) {
      std::uint32_t previous = box.id;
      for (int hop = 0; hop + 1 < path.segments_size(); ++hop) {
        const std::uint32_t relay = ids::Sid{path.segments(hop)}.node().value;
        const std::uint32_t next = ids::Sid{path.segments(hop + 1)}.node().value;
        ++lists_installed;
        lists_unready += !domain::relay_ready(boxes_[places_.at(relay)].box->held, previous, next,
                                              static_cast<std::uint8_t>(path.token_epoch()));
        previous = relay;
      }
    }
}

}  // namespace qanat::test
