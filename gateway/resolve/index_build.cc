// Building: drafts → rows in answer order → one pass that counts and one that fills each posting.
#include <algorithm>
#include <limits>
#include <numeric>

#include "gateway/resolve/index_body.hh"

namespace qanat::resolve {
namespace {

constexpr std::size_t kMaxThresholds = 32;

std::uint32_t saturated(std::int64_t value) {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(value, 0, std::numeric_limits<std::uint32_t>::max()));
}

// The place and each region around it: "a.b.c", "b.c", "c".
template <class Each>
void regions(std::string_view place, Each each) {
  for (;;) {
    each(place);
    const auto dot = place.find('.');
    if (dot == std::string_view::npos) return;
    place.remove_prefix(dot + 1);
  }
}

// Each distinct value if they are few, quantiles otherwise; rising.
std::vector<std::int64_t> thresholds_of(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  std::vector<std::int64_t> distinct = values;
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  if (distinct.size() <= kMaxThresholds) return distinct;
  std::vector<std::int64_t> chosen;
  for (std::size_t i = 0; i < kMaxThresholds; ++i)
    chosen.push_back(values[i * (values.size() - 1) / (kMaxThresholds - 1)]);
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  return chosen;
}

}  // namespace

struct Index::Builder::Draft {
  Body body;
  std::vector<std::vector<std::uint32_t>>
      around;                               // of a term of kPlace or kStaysWhole: its kRegion or kStays terms
  std::vector<std::uint32_t> first_label;   // of a term of kPlace
  std::vector<std::uint32_t> row_services;  // of draft i, from services_at[i]
  std::vector<std::uint32_t> services_at{0};

  std::uint32_t term(Field field, std::string_view text) {
    return text.empty() ? TermTable::kNone : body.terms.intern(field, text);
  }
  std::uint32_t place(Field whole, Field region, const c_url::Location& location) {
    const std::string text = to_string(location);
    const std::uint32_t known = body.terms.find(whole, text);
    if (known != TermTable::kNone) return known;
    const std::uint32_t term = body.terms.intern(whole, text);
    std::vector<std::uint32_t> terms;
    regions(text, [&](std::string_view r) { terms.push_back(body.terms.intern(region, r)); });
    if (around.size() <= term) around.resize(term + 1), first_label.resize(term + 1, TermTable::kNone);
    around[term] = std::move(terms);
    if (whole == kPlace)
      first_label[term] = body.terms.intern(kFirst, std::string_view(text).substr(0, text.find('.')));
    return term;
  }

  // Every indexed term of row i, in any order, each once.
  template <class Each>
  void terms_of(std::size_t i, Each each) const {
    const Row& row = body.rows[i];
    for (std::uint32_t t :
         {row.instance, row.provider, row.place, row.model, row.version, row.accel, row.dtype})
      if (t != TermTable::kNone) each(t);
    for (std::uint32_t t : around[row.place]) each(t);
    for (std::uint32_t t : around[row.stays]) each(t);
    each(first_label[row.place]);
    for (std::uint32_t s = body.service_at[i]; s < body.service_at[i + 1]; ++s) each(body.services[s]);
  }
};

Index::Builder::Builder() : draft_(std::make_unique<Draft>()) {}
Index::Builder::~Builder() = default;

bool Index::Builder::add(const c_url::Offer& offer, std::uint64_t tag) {
  Draft& d = *draft_;
  if (d.body.rows.size() == kMaxOffers) return false;
  Row row{};
  row.tag = tag;
  row.price = offer.price_nano;
  row.memory = offer.memory_bytes;
  row.cards = saturated(offer.cards);
  row.context = saturated(offer.context_tokens);
  row.instance = d.term(kInstance, offer.instance);
  row.provider = d.term(kProvider, offer.provider);
  row.place = d.place(kPlace, kRegion, offer.location);
  row.stays = d.place(kStaysWhole, kStays, offer.residency.any() ? offer.location : offer.residency);
  row.model = d.term(kModel, offer.model);
  row.version = d.term(kVersion, offer.version);
  row.accel = d.term(kAccel, offer.accelerator);
  row.dtype = d.term(kDtype, offer.dtype);
  d.body.rows.push_back(row);
  for (std::string_view service : offer.services) d.row_services.push_back(d.term(kService, service));
  d.services_at.push_back(static_cast<std::uint32_t>(d.row_services.size()));
  return true;
}

Index Index::Builder::build() && {
  Draft& d = *draft_;
  Body& b = d.body;
  const auto count = static_cast<std::uint32_t>(b.rows.size());
  // Answer order; drafts' services follow their rows.
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  const auto name = [&](const Row& row) {
    return row.instance == TermTable::kNone ? std::string_view{} : b.terms.text(row.instance);
  };
  std::sort(order.begin(), order.end(), [&](std::uint32_t x, std::uint32_t y) {
    const Row &p = b.rows[x], &q = b.rows[y];
    if (p.price != q.price) return p.price < q.price;
    const int named = name(p).compare(name(q));
    return named != 0 ? named < 0 : p.tag < q.tag;
  });
  std::vector<Row> rows;
  rows.reserve(count);
  b.service_at.reserve(count + 1);
  b.services.reserve(d.row_services.size());
  for (std::uint32_t from : order) {
    rows.push_back(b.rows[from]);
    b.service_at.push_back(static_cast<std::uint32_t>(b.services.size()));
    b.services.insert(b.services.end(), d.row_services.begin() + d.services_at[from],
                      d.row_services.begin() + d.services_at[from + 1]);
  }
  b.service_at.push_back(static_cast<std::uint32_t>(b.services.size()));
  b.rows = std::move(rows);

  b.postings = Postings(b.terms.size(), count);
  for (std::size_t i = 0; i < count; ++i) d.terms_of(i, [&](std::uint32_t t) { b.postings.count(t); });
  b.postings.begin();
  for (std::uint32_t i = 0; i < count; ++i) d.terms_of(i, [&](std::uint32_t t) { b.postings.add(t, i); });

  for (std::uint8_t f = 0; f < kFloors; ++f) {
    const auto floor = static_cast<Floor>(f);
    std::vector<std::int64_t> values;
    values.reserve(count);
    for (const Row& row : b.rows) values.push_back(floor_value(row, floor));
    b.thresholds[f] = thresholds_of(std::move(values));
    const auto& all = b.thresholds[f];
    Postings reaching(all.size(), count);
    const auto each = [&](auto use) {
      for (std::uint32_t i = 0; i < count; ++i)
        for (std::uint32_t k = 0; k < all.size() && all[k] <= floor_value(b.rows[i], floor); ++k) use(k, i);
    };
    each([&](std::uint32_t k, RowId) { reaching.count(k); });
    reaching.begin();
    each([&](std::uint32_t k, RowId row) { reaching.add(k, row); });
    b.reaching[f] = std::move(reaching);
  }
  Index index;
  index.body_ = std::make_unique<const Body>(std::move(b));
  return index;
}

}  // namespace qanat::resolve
