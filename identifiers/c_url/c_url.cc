#include "identifiers/c_url/c_url.hh"

#include <algorithm>
#include <stdexcept>

#include "identifiers/c_url/key.hh"
#include "identifiers/c_url/value.hh"

namespace qanat::c_url {
namespace {

constexpr std::string_view kScheme = "c-url://";
constexpr std::size_t kMaxModelBytes = 128;
constexpr std::size_t kMaxFoundBytes = 32;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// A name: letters and digits at both ends, '-', '_' and '.' between. Returns the offset of the first offending byte.
std::size_t bad_name(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    bool inside = name[i] == '-' || name[i] == '_' || name[i] == '.';
    bool edge = i == 0 || i + 1 == name.size();
    if (i == kMaxLabelBytes || !(is_letter_or_digit(name[i]) || (inside && !edge))) return i;
  }
  return name.empty() ? 0 : std::string_view::npos;
}

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

// One pass from left to right; the first problem ends it.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  boost::system::result<CUrl, ParseError> run() {
    CUrl url;
    if (text_.size() > kMaxTextBytes) {
      fail(Errc::TooLong, kMaxTextBytes, "at most " + std::to_string(kMaxTextBytes) + " characters");
    } else if (to_lower(text_.substr(0, kScheme.size())) != kScheme) {
      auto prefix = to_lower(text_.substr(0, kScheme.size()));
      auto differs = std::mismatch(prefix.begin(), prefix.end(), kScheme.begin()).first - prefix.begin();
      fail(Errc::BadScheme, static_cast<std::size_t>(differs), std::string(kScheme));
    } else {
      at_ = kScheme.size();
      authority(url) && path(url) && query(url);
    }
    if (error_) return *error_;
    return url;
  }

 private:
  bool fail(Errc code, std::size_t offset, std::string expected) {
    offset = std::min(offset, text_.size());
    auto found = text_.substr(offset, kMaxFoundBytes);
    error_ =
        ParseError{code, offset, found.empty() ? "end of text" : std::string(found), std::move(expected)};
    return false;
  }
  // The raw text up to one of `stops`, or the end; the cursor moves to the stop.
  std::string_view until(std::string_view stops) {
    auto end = std::min(text_.find_first_of(stops, at_), text_.size());
    auto part = text_.substr(at_, end - at_);
    at_ = end;
    return part;
  }
  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  // name: decoded, lower-cased, checked.
  bool name(std::string_view raw, std::size_t offset, Errc code, std::string_view what, std::string& out) {
    Decoded part;
    if (auto bad = decode(raw, offset, part)) {
      return fail(text_[*bad] == '%' ? Errc::BadEscape : code, *bad, std::string(what));
    }
    out = to_lower(part.text);
    if (auto bad = bad_name(out); bad != std::string_view::npos)
      return fail(code, part.at[bad], std::string(what));
    return true;
  }

  bool authority(CUrl& url) {
    std::size_t start = at_;
    auto raw = until("/?#");
    if (auto sign = raw.find('@'); sign != std::string_view::npos) {
      if (!name(raw.substr(0, sign), start, Errc::BadProvider, "a provider's name before '@'", url.provider))
        return false;
      start += sign + 1;
      raw.remove_prefix(sign + 1);
    }
    if (auto bad = parse_location(raw, url.location); bad != std::string_view::npos) {
      return fail(Errc::BadLocation, start + bad,
                  "a location: labels from the most specific to the least, '*', or any");
    }
    return true;
  }

  bool path(CUrl& url) {
    if (!next_is('/')) return fail(Errc::BadService, at_, "'/' and a service");
    std::size_t start = ++at_;
    auto raw = until("/?#");
    if (!name(raw, start, Errc::BadService, "a service such as infer or finetune", url.service)) return false;
    if (!next_is('/')) return true;
    start = ++at_;
    raw = until("/?#");
    auto sign = raw.find('@');
    if (!model_part(raw.substr(0, sign), start, Errc::BadModel, "a model's name", url.model)) return false;
    if (sign == std::string_view::npos) return true;
    return model_part(raw.substr(sign + 1), start + sign + 1, Errc::BadVersion, "a version after '@'",
                      url.version);
  }

  bool model_part(std::string_view raw, std::size_t offset, Errc code, std::string_view what,
                  std::string& out) {
    Decoded part;
    if (auto bad = decode(raw, offset, part)) {
      return fail(text_[*bad] == '%' ? Errc::BadEscape : code, *bad, std::string(what));
    }
    if (part.text.empty()) return fail(code, offset, std::string(what));
    if (part.text.size() > kMaxModelBytes) {
      return fail(code, part.at[kMaxModelBytes], "at most " + std::to_string(kMaxModelBytes) + " characters");
    }
    out = to_lower(part.text);
    return true;
  }

  bool query(CUrl& url) {
    if (at_ == text_.size()) return true;
    if (!next_is('?')) return fail(Errc::TrailingText, at_, "'?' or the end");
    do {
      std::size_t start = ++at_;
      auto raw = until("=&#");
      std::string key_name;
      if (!key(raw, start, key_name)) return false;
      if (!next_is('=')) return fail(Errc::MissingValue, at_, "'=' and a value for " + key_name);
      std::size_t value_start = ++at_;
      auto value_text = until("&#");
      if (url.query.contains(key_name)) return fail(Errc::DuplicateKey, start, key_name + " only once");
      if (url.query.size() == kMaxKeys) {
        return fail(Errc::TooLong, start, "at most " + std::to_string(kMaxKeys) + " keys");
      }
      Value value;
      if (auto problem = parse_value(find_key(key_name), value_text, value_start, value)) {
        return fail(problem->code, problem->offset, problem->expected + " for " + key_name);
      }
      url.query.emplace(std::move(key_name), std::move(value));
    } while (next_is('&'));
    return at_ == text_.size() || fail(Errc::TrailingText, at_, "'&' or the end");
  }

  bool key(std::string_view raw, std::size_t start, std::string& out) {
    if (!name(raw, start, Errc::BadKey, "a key, '=' and a value", out)) return false;
    if (find_key(out) != nullptr || out.starts_with("x-")) return true;
    return fail(Errc::UnknownKey, start, suggest(out));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::optional<ParseError> error_;
};

}  // namespace

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::TooLong: return "too_long";
    case Errc::BadScheme: return "bad_scheme";
    case Errc::BadProvider: return "bad_provider";
    case Errc::BadLocation: return "bad_location";
    case Errc::BadService: return "bad_service";
    case Errc::BadModel: return "bad_model";
    case Errc::BadVersion: return "bad_version";
    case Errc::BadEscape: return "bad_escape";
    case Errc::BadKey: return "bad_key";
    case Errc::UnknownKey: return "unknown_key";
    case Errc::DuplicateKey: return "duplicate_key";
    case Errc::MissingValue: return "missing_value";
    case Errc::BadValue: return "bad_value";
    case Errc::OutOfRange: return "out_of_range";
    case Errc::TrailingText: return "trailing_text";
  }
  return "unknown";
}

std::string to_string(const ParseError& error) {
  std::string text = "at character " + std::to_string(error.offset + 1) + ": found ";
  text += error.found == "end of text" ? error.found : "'" + error.found + "'";
  return text + ", expected " + error.expected;
}

std::string point_at(std::string_view text, const ParseError& error) {
  return std::string(text) + "\n" + std::string(error.offset, ' ') + "^\n" + to_string(error);
}

void throw_exception_from_error(const ParseError& error, const boost::source_location&) {
  throw std::invalid_argument("C-URL " + to_string(error));
}

boost::system::result<CUrl, ParseError> CUrl::parse(std::string_view text) { return Parser(text).run(); }

std::optional<std::int64_t> CUrl::number(std::string_view key) const {
  auto it = query.find(key);
  if (it == query.end() || !it->second.names.empty()) return std::nullopt;
  return it->second.number;
}

const std::vector<std::string>& CUrl::names(std::string_view key) const {
  static const std::vector<std::string> kNone;
  auto it = query.find(key);
  return it == query.end() ? kNone : it->second.names;
}

std::optional<std::string> CUrl::choice(std::string_view key) const {
  const auto& list = names(key);
  if (list.size() != 1) return std::nullopt;
  return list.front();
}

bool CUrl::is_instance() const { return !location.has_wildcard() && names("instance").size() == 1; }

std::string to_string(const CUrl& url) {
  std::string text(kScheme);
  if (!url.provider.empty()) text += encode(url.provider) + "@";
  text += to_string(url.location) + "/" + encode(url.service);
  if (!url.model.empty()) text += "/" + encode(url.model);
  if (!url.version.empty()) text += "@" + encode(url.version);
  char separator = '?';
  for (const auto& [name, value] : url.query) {
    text += separator;
    text += name;
    text += '=';
    text += format_value(find_key(name), value);
    separator = '&';
  }
  return text;
}

}  // namespace qanat::c_url
