#include "gateway/resolve/index.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "gateway/resolve/index_body.hh"

namespace qanat::resolve {
namespace {

constexpr std::size_t kMaxAlternatives = 32;  // of a list that are pruned by; a longer one is held row by row

// One clause as postings: a row must be in one of them.
struct Clause {
  std::array<Cursor, kMaxAlternatives> any;
  std::size_t size = 0;
  std::uint64_t count = 0;

  bool lists_only() const {
    return std::none_of(any.begin(), any.begin() + size, [](const Cursor& c) { return c.posting().dense(); });
  }
  bool holds(RowId row) {
    bool in = false;
    for (std::size_t i = 0; i < size && !in; ++i) in = any[i].holds(row);
    return in;
  }
  // Takes the rows of a block that are not here out of `hits`; false: none is left.
  bool narrow(std::size_t at, std::array<std::uint64_t, kBlock>& hits) {
    std::uint64_t left = 0;
    if (size == 1 && any[0].posting().dense()) {
      const std::uint64_t* words = any[0].posting().bitmap + at;
      for (std::size_t w = 0; w < kBlock; ++w) left |= hits[w] &= words[w];
      return left != 0;
    }
    std::array<std::uint64_t, kBlock> here{};
    for (std::size_t i = 0; i < size; ++i) any[i].add_block(at, here);
    for (std::size_t w = 0; w < kBlock; ++w) left |= hits[w] &= here[w];
    return left != 0;
  }
};

// What is left to hold a row against, where postings only narrow down.
struct Pattern {
  Field whole;  // kPlace or kStaysWhole
  bool region;  // contains() rather than matches()
  std::vector<c_url::Location> any;
};

// A request against one index: clauses that prune, and what they do not settle.
class Query {
 public:
  Query(const Index::Body& body, const c_url::Flat& request)
      : b_(body), end_(static_cast<RowId>(body.rows.size())) {
    compile(request);
  }
  std::size_t run(std::span<std::uint64_t> out) {
    if (nothing_ || out.empty() || end_ == 0) return 0;
    // The rarest first: it decides what the others are asked for.
    std::sort(order_.begin(), order_.begin() + used_,
              [&](std::uint8_t a, std::uint8_t b) { return clauses_[a].count < clauses_[b].count; });
    const bool rare = used_ > 0 && clauses_[order_[0]].lists_only() &&
                      clauses_[order_[0]].count <= b_.rows.size() / kListsBelow + 64;
    return rare ? by_list(out) : by_words(out);
  }

 private:
  Clause* clause() {
    if (used_ == kMaxClauses) return nullptr;
    order_[used_] = static_cast<std::uint8_t>(used_);
    return &clauses_[used_++];
  }
  void offer(Clause& clause, std::uint32_t term) {
    if (term == TermTable::kNone) return;
    const Posting posting = b_.postings.at(term);
    if (posting.count == 0) return;
    clause.any[clause.size++] = Cursor(posting);
    clause.count += posting.count;
  }
  void must(Field field, std::string_view text) {
    Clause* c = clause();
    if (c == nullptr) return;
    offer(*c, b_.terms.find(field, text));
    if (c->size == 0) nothing_ = true;
  }

  void compile(const c_url::Flat& request) {
    if (!request.provider().empty()) must(kProvider, request.provider());
    if (!request.labels().empty()) location(request);
    must(kService, request.service());
    if (!request.model().empty()) must(kModel, request.model());
    if (!request.version().empty()) must(kVersion, request.version());
    for (const c_url::Flat::Clause& c : request.clauses()) {
      if (c.key == nullptr) continue;
      const std::string_view key = c.key->name;
      if (key == "instance") any_of(request, c, kInstance);
      if (key == "accel") any_of(request, c, kAccel);
      if (key == "dtype") any_of(request, c, kDtype);
      if (key == "within") within(request, c);
      if (key == "cards") at_least(kCards, c.number);
      if (key == "mem") at_least(kMemory, c.number);
      if (key == "ctx") at_least(kContext, c.number);
      if (key == "max_price") {
        const auto dear = std::partition_point(b_.rows.begin(), b_.rows.end(),
                                               [&](const Row& row) { return row.price <= c.number; });
        end_ = std::min(end_, static_cast<RowId>(dear - b_.rows.begin()));
      }
    }
  }

  void location(const c_url::Flat& request) {
    const std::string_view text = request.location();
    if (!request.has_wildcard()) return must(kPlace, text);
    if (text.starts_with("*.") && text.rfind('*') == 0) {
      // Whatever stands in the region, but not at its very name.
      must(kRegion, text.substr(2));
      outside_ = b_.terms.find(kPlace, text.substr(2));
      return;
    }
    prune(request.location(), kRegion, kFirst);
    c_url::Location pattern;
    c_url::parse_location(request.location(), pattern);
    patterns_.push_back({kPlace, false, {std::move(pattern)}});
  }
  // "a.*.b.c": what ends in b.c, and begins with a.
  void prune(std::string_view pattern, Field region, Field first) {
    const std::string_view tail = pattern.substr(pattern.rfind('*') + 1);
    if (!tail.empty()) must(region, tail.substr(1));
    const std::string_view head = pattern.substr(0, pattern.find('.'));
    if (head != "*" && first == kFirst) must(first, head);
  }

  void any_of(const c_url::Flat& request, const c_url::Flat::Clause& wanted, Field field) {
    if (wanted.count > kMaxAlternatives) {
      long_lists_.push_back({field, &request, wanted});
      return;
    }
    Clause* c = clause();
    if (c == nullptr) return;
    for (c_url::Flat::Piece name : request.names(wanted)) offer(*c, b_.terms.find(field, request.text(name)));
    if (c->size == 0) nothing_ = true;
  }

  void within(const c_url::Flat& request, const c_url::Flat::Clause& wanted) {
    bool plain = wanted.count <= kMaxAlternatives;
    Pattern places{kPlace, true, {}}, stays{kStaysWhole, true, {}};
    for (c_url::Flat::Piece name : request.names(wanted)) {
      const std::string_view text = request.text(name);
      if (text == "any") return;
      plain = plain && text.find('*') == std::string_view::npos;
      c_url::Location region;
      c_url::parse_location(text, region);
      places.any.push_back(region);
      stays.any.push_back(std::move(region));
    }
    if (!plain) {
      patterns_.push_back(std::move(places));
      patterns_.push_back(std::move(stays));
      return;
    }
    for (Field field : {kRegion, kStays}) any_of(request, wanted, field);
  }

  void at_least(Floor floor, std::int64_t wanted) {
    const auto& all = b_.thresholds[floor];
    const auto above = std::upper_bound(all.begin(), all.end(), wanted);
    if (above == all.end() && (all.empty() || all.back() < wanted)) nothing_ = true;
    const bool exact = above != all.begin() && *(above - 1) == wanted;
    if (!exact) floors_[floor] = wanted;
    if (above == all.begin()) return;  // all reach the least threshold, and it is above what is wanted
    Clause* c = clause();
    if (c == nullptr) {
      floors_[floor] = wanted;
      return;
    }
    const Posting reaching = b_.reaching[floor].at(static_cast<std::uint32_t>(above - all.begin() - 1));
    c->any[c->size++] = Cursor(reaching);
    c->count = reaching.count;
  }

  // What postings did not settle.
  bool meets(RowId id) const {
    const Row& row = b_.rows[id];
    if (outside_ != TermTable::kNone && row.place == outside_) return false;
    for (std::uint8_t f = 0; f < kFloors; ++f)
      if (floors_[f] && floor_value(row, static_cast<Floor>(f)) < *floors_[f]) return false;
    for (const LongList& list : long_lists_) {
      const std::uint32_t term = list.field == kInstance ? row.instance
                                 : list.field == kAccel  ? row.accel
                                                         : row.dtype;
      const std::string_view have = term == TermTable::kNone ? std::string_view{} : b_.terms.text(term);
      const auto names = list.request->names(list.wanted);
      if (std::none_of(names.begin(), names.end(),
                       [&](c_url::Flat::Piece p) { return list.request->text(p) == have; }))
        return false;
    }
    for (const Pattern& pattern : patterns_) {
      c_url::Location place;
      c_url::parse_location(b_.terms.text(pattern.whole == kPlace ? row.place : row.stays), place);
      if (std::none_of(pattern.any.begin(), pattern.any.end(), [&](const c_url::Location& p) {
            return pattern.region ? contains(p, place) : matches(p, place);
          }))
        return false;
    }
    return true;
  }

  // The rows of the rarest clause, merged from its lists, held against the others.
  std::size_t by_list(std::span<std::uint64_t> out) {
    Clause& driver = clauses_[order_[0]];
    std::size_t found = 0;
    for (;;) {
      RowId row = Cursor::kEnd;
      for (std::size_t i = 0; i < driver.size; ++i) row = std::min(row, driver.any[i].row());
      if (row >= end_) return found;
      for (std::size_t i = 0; i < driver.size; ++i)
        if (driver.any[i].row() == row) driver.any[i].step();
      bool all = true;
      for (std::size_t i = 1; all && i < used_; ++i) all = clauses_[order_[i]].holds(row);
      if (!all || !meets(row)) continue;
      out[found++] = b_.rows[row].tag;
      if (found == out.size()) return found;
    }
  }

  // No clause is rare: bitmaps, 512 rows at a time, of which two or three clauses leave nothing as a rule.
  std::size_t by_words(std::span<std::uint64_t> out) {
    const std::size_t words = (end_ + 63) / 64;
    std::size_t found = 0;
    for (std::size_t at = 0; at < words; at += kBlock) {
      std::array<std::uint64_t, kBlock> hits;
      hits.fill(~0ULL);
      bool left = true;
      for (std::size_t i = 0; left && i < used_; ++i) left = clauses_[order_[i]].narrow(at, hits);
      if (!left) continue;
      for (std::size_t w = 0; w < kBlock; ++w) {
        for (std::uint64_t bits = hits[w]; bits != 0; bits &= bits - 1) {
          const auto row =
              static_cast<RowId>((at + w) * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
          if (row >= end_) return found;
          if (!meets(row)) continue;
          out[found++] = b_.rows[row].tag;
          if (found == out.size()) return found;
        }
      }
    }
    return found;
  }

  struct LongList {
    Field field;
    const c_url::Flat* request;
    c_url::Flat::Clause wanted;
  };
  static constexpr std::size_t kMaxClauses = 16;  // fields and floors together are fewer
  static constexpr std::size_t kListsBelow =
      128;  // a clause that keeps fewer of so many rows is walked alone

  const Index::Body& b_;
  RowId end_;  // rows from here on cost too much
  bool nothing_ = false;
  std::array<Clause, kMaxClauses> clauses_;
  std::array<std::uint8_t, kMaxClauses> order_{};
  std::size_t used_ = 0;
  std::array<std::optional<std::int64_t>, kFloors> floors_{};
  std::uint32_t outside_ = TermTable::kNone;  // a place that does not count
  std::vector<Pattern> patterns_;
  std::vector<LongList> long_lists_;
};

}  // namespace

Index::Index() : body_(std::make_unique<const Body>()) {}
Index::Index(Index&&) noexcept = default;
Index& Index::operator=(Index&&) noexcept = default;
Index::~Index() = default;

std::size_t Index::lookup(const c_url::Flat& request, std::span<std::uint64_t> out) const {
  return Query(*body_, request).run(out);
}

std::size_t Index::size() const { return body_->rows.size(); }

std::size_t Index::memory_bytes() const {
  std::size_t bytes = body_->terms.memory_bytes() + body_->rows.capacity() * sizeof(Row) +
                      (body_->services.capacity() + body_->service_at.capacity()) * sizeof(std::uint32_t) +
                      body_->postings.memory_bytes();
  for (const Postings& p : body_->reaching) bytes += p.memory_bytes();
  return bytes;
}

}  // namespace qanat::resolve
