#include "identifiers/c_url/c_url.hh"

#include <stdexcept>
#include <utility>

#include "identifiers/c_url/flat.hh"
#include "identifiers/c_url/key.hh"
#include "identifiers/c_url/value.hh"

namespace qanat::c_url {
namespace {

std::string copy(const Flat& flat, Flat::Piece piece) { return std::string(flat.text(piece)); }

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

boost::system::result<CUrl, ParseError> CUrl::parse(std::string_view text) {
  Flat flat;
  if (auto error = flat.scan(text)) return std::move(*error);
  CUrl url;
  url.provider = flat.provider();
  url.service = flat.service();
  url.model = flat.model();
  url.version = flat.version();
  url.location.labels.reserve(flat.labels().size());
  for (Flat::Piece label : flat.labels()) url.location.labels.push_back(copy(flat, label));
  for (const Flat::Clause& clause : flat.clauses()) {
    Value value;
    value.number = clause.number;
    value.names.reserve(clause.count);
    for (Flat::Piece name : flat.names(clause)) value.names.push_back(copy(flat, name));
    url.query.emplace_hint(url.query.end(), copy(flat, clause.name), std::move(value));
  }
  return url;
}

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
  if (!url.provider.empty()) {
    append_encoded(text, url.provider);
    text += '@';
  }
  text += to_string(url.location);
  text += '/';
  append_encoded(text, url.service);
  if (!url.model.empty()) {
    text += '/';
    append_encoded(text, url.model);
  }
  if (!url.version.empty()) {
    text += '@';
    append_encoded(text, url.version);
  }
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
