#include "identifiers/c_url/binary.hh"

#include <stdexcept>
#include <utility>

#include "identifiers/c_url/key.hh"

namespace qanat::c_url {
namespace {

constexpr std::uint8_t kMagic = 0xC0;
enum Flags : std::uint8_t { kProvider = 1, kModel = 2, kVersion = 4 };

bool is_names(ValueType type) { return type == ValueType::Names || type == ValueType::Locations; }

std::string_view choice_word(const Key& key, std::size_t index) {
  std::string_view rest = key.choices;
  for (; index > 0; --index) {
    const auto bar = rest.find('|');
    if (bar == std::string_view::npos) return {};
    rest.remove_prefix(bar + 1);
  }
  return rest.substr(0, rest.find('|'));
}

class Writer {
 public:
  void byte(std::uint8_t value) { out += static_cast<char>(value); }
  void integer(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<std::uint8_t>(value | 0x80));
    byte(static_cast<std::uint8_t>(value));
  }
  void text(std::string_view value) {
    integer(value.size());
    out += value;
  }
  std::string out;
};

// A sticky failure: after it everything reads as nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  std::uint8_t byte() {
    if (left_.empty()) return fail(), std::uint8_t{0};
    const auto value = static_cast<std::uint8_t>(left_.front());
    left_.remove_prefix(1);
    return value;
  }
  // What does not fit 63 bits or is longer than need be is caught when the value is written again.
  std::uint64_t integer() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const std::uint8_t b = byte();
      value |= static_cast<std::uint64_t>(b & 0x7f) << shift;
      if ((b & 0x80) == 0) return value;
    }
    return value;
  }
  std::string text() {
    const std::uint64_t size = integer();
    if (size > left_.size()) return fail(), std::string{};
    std::string value(left_.substr(0, size));
    left_.remove_prefix(size);
    return value;
  }
  bool failed() const { return failed_; }
  std::size_t left() const { return left_.size(); }

 private:
  void fail() {
    failed_ = true;
    left_ = {};
  }
  std::string_view left_;
  bool failed_ = false;
};

bool read_clause(Reader& in, CUrl& url) {
  const std::uint8_t id = in.byte();
  Value value;
  if (id == 0) {
    std::string name = in.text();
    value.names.push_back(in.text());
    url.query.emplace(std::move(name), std::move(value));
    return true;
  }
  const Key* key = find_key(id);
  if (key == nullptr) return false;
  if (is_names(key->type)) {
    for (std::uint64_t left = in.integer(); left > 0 && !in.failed(); --left)
      value.names.push_back(in.text());
  } else if (key->type == ValueType::Choice) {
    value.names.emplace_back(choice_word(*key, in.byte()));
  } else {
    value.number = static_cast<std::int64_t>(in.integer());
  }
  url.query.emplace(key->name, std::move(value));
  return true;
}

}  // namespace

std::string_view to_string(BinaryErrc code) {
  switch (code) {
    case BinaryErrc::Truncated: return "truncated";
    case BinaryErrc::WrongVersion: return "wrong_version";
    case BinaryErrc::UnknownKey: return "unknown_key";
    case BinaryErrc::NotCanonical: return "not_canonical";
  }
  return "unknown";
}

void throw_exception_from_error(const BinaryErrc& error, const boost::source_location&) {
  throw std::invalid_argument("binary C-URL: " + std::string(to_string(error)));
}

std::string encode(const CUrl& url) {
  Writer out;
  out.byte(kMagic | kBinaryVersion);
  out.byte(static_cast<std::uint8_t>((url.provider.empty() ? 0 : kProvider) |
                                     (url.model.empty() ? 0 : kModel) |
                                     (url.version.empty() ? 0 : kVersion)));
  out.integer(url.location.labels.size());
  for (const std::string& label : url.location.labels) out.text(label);
  if (!url.provider.empty()) out.text(url.provider);
  out.text(url.service);
  if (!url.model.empty()) out.text(url.model);
  if (!url.version.empty()) out.text(url.version);
  out.integer(url.query.size());
  for (const auto& [name, value] : url.query) {
    const Key* key = find_key(name);
    out.byte(key == nullptr ? std::uint8_t{0} : key->id);
    if (key == nullptr) {
      out.text(name);
      out.text(value.names.empty() ? std::string_view{} : value.names.front());
    } else if (is_names(key->type)) {
      out.integer(value.names.size());
      for (const std::string& item : value.names) out.text(item);
    } else if (key->type == ValueType::Choice) {
      out.byte(value.names.empty() ? kNoChoice : choice_index(*key, value.names.front()));
    } else {
      out.integer(static_cast<std::uint64_t>(value.number));
    }
  }
  return std::move(out.out);
}

boost::system::result<CUrl, BinaryErrc> decode(std::string_view bytes) {
  Reader in(bytes);
  const std::uint8_t first = in.byte();
  if (in.failed()) return BinaryErrc::Truncated;
  if (first != (kMagic | kBinaryVersion)) return BinaryErrc::WrongVersion;
  const std::uint8_t flags = in.byte();
  CUrl url;
  for (std::uint64_t left = in.integer(); left > 0 && !in.failed(); --left)
    url.location.labels.push_back(in.text());
  if (flags & kProvider) url.provider = in.text();
  url.service = in.text();
  if (flags & kModel) url.model = in.text();
  if (flags & kVersion) url.version = in.text();
  for (std::uint64_t left = in.integer(); left > 0 && !in.failed(); --left)
    if (!read_clause(in, url)) return in.failed() ? BinaryErrc::Truncated : BinaryErrc::UnknownKey;
  if (in.failed()) return BinaryErrc::Truncated;
  // The text's grammar holds here too, and each meaning has one form: what reads back otherwise is not it.
  if (in.left() != 0 || encode(url) != bytes) return BinaryErrc::NotCanonical;
  auto again = CUrl::parse(to_string(url));
  if (!again || *again != url) return BinaryErrc::NotCanonical;
  return url;
}

}  // namespace qanat::c_url
