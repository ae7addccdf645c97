#include "gateway/resolve/term_table.hh"

#include <functional>

namespace qanat::resolve {
namespace {

std::uint32_t hash_of(std::uint8_t field, std::string_view text) {
  const std::size_t h = std::hash<std::string_view>{}(text) + field * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::uint32_t>((h * 0xbf58476d1ce4e5b9ULL) >> 32);
}

}  // namespace

std::size_t TermTable::slot(std::uint32_t hash, std::uint8_t field, std::string_view text) const {
  for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    const std::uint32_t term = slots_[i];
    if (term == kNone) return i;
    const Term& t = terms_[term];
    if (t.hash == hash && t.field == field && this->text(term) == text) return i;
  }
}

std::uint32_t TermTable::find(std::uint8_t field, std::string_view text) const {
  return slots_[slot(hash_of(field, text), field, text)];
}

std::uint32_t TermTable::intern(std::uint8_t field, std::string_view text) {
  const std::uint32_t hash = hash_of(field, text);
  const std::size_t place = slot(hash, field, text);
  if (slots_[place] != kNone) return slots_[place];
  const auto term = static_cast<std::uint32_t>(terms_.size());
  terms_.push_back({arena_.size(), hash, static_cast<std::uint16_t>(text.size()), field});
  arena_.insert(arena_.end(), text.begin(), text.end());
  slots_[place] = term;
  if (terms_.size() * 2 > slots_.size()) grow();
  return term;
}

void TermTable::grow() {
  slots_.assign(slots_.size() * 2, kNone);
  for (std::uint32_t term = 0; term < terms_.size(); ++term) {
    std::size_t i = terms_[term].hash & (slots_.size() - 1);
    while (slots_[i] != kNone) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = term;
  }
}

std::size_t TermTable::memory_bytes() const {
  return arena_.capacity() + terms_.capacity() * sizeof(Term) + slots_.capacity() * sizeof(std::uint32_t);
}

}  // namespace qanat::resolve
