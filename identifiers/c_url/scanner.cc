#include "identifiers/c_url/scanner.hh"

#include <algorithm>
#include <vector>

#include "identifiers/c_url/character.hh"
#include "identifiers/c_url/value.hh"

namespace qanat::c_url {
namespace {

constexpr std::size_t kMaxFoundBytes = 32;

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string suggest(std::string_view name) {
  std::string text = "a registered key";
  if (name.size() > 2 * kMaxFoundBytes) return text;
  const Key* best = nullptr;
  std::size_t least = 3;
  for (const Key& key : keys()) {
    if (auto distance = edit_distance(name, key.name); distance < least) least = distance, best = &key;
  }
  return best == nullptr ? text : text + " (did you mean " + std::string(best->name) + "?)";
}

// Letters and digits at both ends, '-', '_' and '.' between: the first byte that is not, or npos.
std::size_t bad_name(std::string_view name) {
  if (name.empty()) return 0;
  const std::size_t last = name.size() - 1;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (i == kMaxLabelBytes || !is(name[i], i == 0 || i == last ? kNameEdge : kNameInner)) return i;
  }
  return std::string_view::npos;
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool is_list(const Key& key) { return key.type == ValueType::Names || key.type == ValueType::Locations; }

std::string expected_of(const Flat::Clause& clause) {
  if (clause.key == nullptr) return "text";
  if (is_list(*clause.key)) return "a name";
  return clause.key->type == ValueType::Choice ? "one of its choices"
                                               : std::string(number_expected(clause.key->type));
}

}  // namespace

std::optional<ParseError> Scanner::run() {
  if (text_.size() > kMaxTextBytes) {
    fail(Errc::TooLong, kMaxTextBytes, "at most " + std::to_string(kMaxTextBytes) + " characters");
    return error_;
  }
  while (at_ < kScheme.size() && at_ < text_.size() && lower(text_[at_]) == kScheme[at_]) ++at_;
  if (at_ < kScheme.size())
    fail(Errc::BadScheme, at_, std::string(kScheme));
  else
    authority() && path() && query();
  return std::move(error_);
}

bool Scanner::fail(Errc code, std::size_t offset, std::string expected) {
  offset = std::min(offset, text_.size());
  auto found = text_.substr(offset, kMaxFoundBytes);
  error_ = ParseError{code, offset, found.empty() ? "end of text" : std::string(found), std::move(expected)};
  return false;
}

// At the byte of `raw` that decoded to number `decoded`.
bool Scanner::wrong(std::string_view raw, std::size_t decoded, Errc code, std::string expected) {
  std::size_t i = 0;
  for (; decoded > 0 && i < raw.size(); --decoded) i += raw[i] == '%' ? 3 : 1;
  return fail(code, static_cast<std::size_t>(raw.data() - text_.data()) + i, std::move(expected));
}

// The raw text up to one of three stops, or the end; the cursor moves to the stop.
std::string_view Scanner::until(char a, char b, char c) {
  const std::size_t start = at_, size = text_.size();
  const char* const text = text_.data();
  std::size_t at = start;
  while (at < size && text[at] != a && text[at] != b && text[at] != c) ++at;
  at_ = at;
  return text_.substr(start, at - start);
}

bool Scanner::decode(std::string_view raw, Case letters, Errc code, std::string_view expected,
                     Flat::Piece& piece) {
  // Through a pointer of its own: writing characters may change any member, as far as the compiler knows.
  char* const begin = out_.bytes_.data() + used_;
  char* to = begin;
  piece.at = used_;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (is(c, kPchar)) {
      *to++ = letters == Case::Lower ? lower(c) : c;
      continue;
    }
    const std::size_t offset = static_cast<std::size_t>(raw.data() - text_.data()) + i;
    if (c != '%') return fail(code, offset, std::string(expected));
    const int high = i + 1 < raw.size() ? hex_digit(raw[i + 1]) : -1;
    const int low = i + 2 < raw.size() ? hex_digit(raw[i + 2]) : -1;
    const int byte = high * 16 + low;
    if (high < 0 || low < 0 || byte < 0x20 || byte == 0x7f)
      return fail(Errc::BadEscape, offset, std::string(expected));
    *to++ = letters == Case::Lower ? lower(static_cast<char>(byte)) : static_cast<char>(byte);
    i += 2;
  }
  piece.size = static_cast<std::uint16_t>(to - begin);
  used_ = static_cast<std::uint16_t>(used_ + piece.size);
  return true;
}

bool Scanner::name(std::string_view raw, Errc code, std::string_view expected, Flat::Piece& piece) {
  if (!decode(raw, Case::Lower, code, expected, piece)) return false;
  const std::size_t bad = bad_name(out_.text(piece));
  return bad == std::string_view::npos || wrong(raw, bad, code, std::string(expected));
}

bool Scanner::authority() {
  out_.provider_ = {0, 0};
  auto raw = until('/', '?', '#');
  if (auto sign = raw.find('@'); sign != std::string_view::npos) {
    if (!name(raw.substr(0, sign), Errc::BadProvider, "a provider's name before '@'", out_.provider_))
      return false;
    raw.remove_prefix(sign + 1);
  }
  out_.location_ = {used_, static_cast<std::uint16_t>(raw.size())};
  std::transform(raw.begin(), raw.end(), out_.bytes_.data() + used_, lower);
  used_ = static_cast<std::uint16_t>(used_ + raw.size());
  const std::string_view text = out_.text(out_.location_);
  std::array<std::string_view, kMaxLabels> labels;
  const std::size_t bad = split_labels(text, labels, out_.label_count_);
  if (bad != std::string_view::npos) {
    return fail(Errc::BadLocation, static_cast<std::size_t>(raw.data() - text_.data()) + bad,
                "a location: labels from the most specific to the least, '*', or any");
  }
  out_.wildcard_ = out_.label_count_ == 0;
  for (std::size_t i = 0; i < out_.label_count_; ++i) {
    out_.labels_[i] = {static_cast<std::uint16_t>(labels[i].data() - out_.bytes_.data()),
                       static_cast<std::uint16_t>(labels[i].size())};
    out_.wildcard_ = out_.wildcard_ || labels[i] == "*";
  }
  return true;
}

bool Scanner::path() {
  out_.model_ = out_.version_ = {0, 0};
  out_.clause_count_ = 0;
  if (!next_is('/')) return fail(Errc::BadService, at_, "'/' and a service");
  ++at_;
  auto raw = until('/', '?', '#');
  if (!name(raw, Errc::BadService, "a service such as infer or finetune", out_.service_)) return false;
  if (!next_is('/')) return true;
  ++at_;
  raw = until('/', '?', '#');
  const auto sign = raw.find('@');
  if (!model_part(raw.substr(0, sign), Errc::BadModel, "a model's name", out_.model_)) return false;
  return sign == std::string_view::npos ||
         model_part(raw.substr(sign + 1), Errc::BadVersion, "a version after '@'", out_.version_);
}

bool Scanner::model_part(std::string_view raw, Errc code, std::string_view expected, Flat::Piece& piece) {
  if (!decode(raw, Case::Lower, code, expected, piece)) return false;
  if (piece.size == 0) return wrong(raw, 0, code, std::string(expected));
  return piece.size <= kMaxModelBytes ||
         wrong(raw, kMaxModelBytes, code, "at most " + std::to_string(kMaxModelBytes) + " bytes");
}

bool Scanner::query() {
  if (at_ == text_.size()) return true;
  if (!next_is('?')) return fail(Errc::TrailingText, at_, "'?' or the end");
  do {
    ++at_;
    if (!clause()) return false;
  } while (next_is('&'));
  return at_ == text_.size() || fail(Errc::TrailingText, at_, "'&' or the end");
}

bool Scanner::clause() {
  Flat::Clause clause;
  const std::size_t start = at_;
  const auto raw = until('=', '&', '#');
  if (!name(raw, Errc::BadKey, "a key, '=' and a value", clause.name)) return false;
  const std::string_view key_name = out_.text(clause.name);
  clause.key = find_key(key_name);
  if (clause.key == nullptr && !key_name.starts_with("x-"))
    return fail(Errc::UnknownKey, start, suggest(key_name));
  if (!next_is('=')) return fail(Errc::MissingValue, at_, "'=' and a value for " + std::string(key_name));
  ++at_;
  const auto value_text = until('&', '#', '#');
  bool seen = false;
  if (clause.key != nullptr) {
    const std::uint64_t bit = 1ULL << (clause.key - keys().data());
    seen = (seen_ & bit) != 0;
    seen_ |= bit;
  } else {
    for (const Flat::Clause& other : out_.clauses()) seen = seen || out_.text(other.name) == key_name;
  }
  if (seen) return fail(Errc::DuplicateKey, start, std::string(key_name) + " only once");
  if (out_.clause_count_ == kMaxKeys)
    return fail(Errc::TooLong, start, "at most " + std::to_string(kMaxKeys) + " keys");
  if (!value(value_text, clause)) {
    error_->expected += " for " + std::string(key_name);
    return false;
  }
  keep_in_order(clause);
  return true;
}

void Scanner::keep_in_order(const Flat::Clause& clause) {
  const std::string_view name = out_.text(clause.name);
  std::size_t i = out_.clause_count_++;
  for (; i > 0 && name < out_.text(out_.clauses_[i - 1].name); --i) out_.clauses_[i] = out_.clauses_[i - 1];
  out_.clauses_[i] = clause;
}

bool Scanner::value(std::string_view raw, Flat::Clause& clause) {
  clause.number = 0;
  clause.first = names_;
  clause.count = 0;
  if (clause.key == nullptr || !is_list(*clause.key)) return item(raw, clause);
  for (std::size_t start = 0; start <= raw.size();) {
    const std::size_t end = std::min(raw.find(',', start), raw.size());
    if (!item(raw.substr(start, end - start), clause)) return false;
    start = end + 1;
  }
  if (clause.count < 2) return true;
  auto* const names = out_.names_.data() + clause.first;
  const auto text = [this](Flat::Piece piece) { return out_.text(piece); };
  std::sort(names, names + clause.count, [&](Flat::Piece a, Flat::Piece b) { return text(a) < text(b); });
  auto* const end = std::unique(names, names + clause.count,
                                [&](Flat::Piece a, Flat::Piece b) { return text(a) == text(b); });
  clause.count = static_cast<std::uint16_t>(end - names);
  return true;
}

bool Scanner::item(std::string_view raw, Flat::Clause& clause) {
  Flat::Piece piece;
  if (!decode(raw, clause.key == nullptr ? Case::Kept : Case::Lower, Errc::BadValue, "", piece)) {
    error_->expected = expected_of(clause);
    return false;
  }
  if (piece.size == 0) return wrong(raw, 0, Errc::MissingValue, expected_of(clause));
  const std::string_view text = out_.text(piece);
  const ValueType type = clause.key == nullptr ? ValueType::Text : clause.key->type;
  if (type == ValueType::Locations) {
    std::array<std::string_view, kMaxLabels> labels;
    std::size_t count = 0;
    if (auto bad = split_labels(text, labels, count); bad != std::string_view::npos)
      return wrong(raw, bad, Errc::BadValue, "a location such as gz.cn or *.cn");
  } else if (type == ValueType::Names || type == ValueType::Choice) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (!is(text[i], kNameInner) || i == kMaxLabelBytes)
        return wrong(raw, i, Errc::BadValue, "a name of at most 63 letters, digits, '-', '_' and '.'");
    }
    if (type == ValueType::Choice && choice_index(*clause.key, text) == kNoChoice) {
      std::string list(clause.key->choices);
      std::replace(list.begin(), list.end(), '|', ' ');
      return wrong(raw, 0, Errc::BadValue, "one of: " + list);
    }
  } else if (type != ValueType::Text) {
    return number(raw, clause, text);
  }
  out_.names_[names_++] = piece;
  ++clause.count;
  return true;
}

bool Scanner::number(std::string_view raw, Flat::Clause& clause, std::string_view text) {
  const NumberProblem problem = parse_number(clause.key->type, text, clause.number);
  return !problem.code || wrong(raw, problem.at, *problem.code, problem.expected(clause.key->type));
}

std::optional<ParseError> Flat::scan(std::string_view text) { return Scanner(text, *this).run(); }

}  // namespace qanat::c_url
