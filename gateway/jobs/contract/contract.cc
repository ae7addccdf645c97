#include "gateway/jobs/contract/contract.hh"

#include <algorithm>
#include <charconv>
#include <optional>

namespace qanat::jobs {
namespace {

constexpr std::string_view kContractMagic = "qanat-contract-1\n";
constexpr std::string_view kClasses[] = {"open", "internal", "confidential"};

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 127 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != ','; });
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

bool named(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Takes "KEY VALUE\n" off the text's beginning.
std::optional<std::string_view> take(std::string_view& text, std::string_view key) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(key) || end <= key.size() || text[key.size()] != ' ')
    return std::nullopt;
  const auto value = text.substr(key.size() + 1, end - key.size() - 1);
  text.remove_prefix(end + 1);
  return value;
}

bool names_of(std::optional<std::string_view> value, std::vector<std::string>& into) {
  if (!value) return false;
  while (!value->empty()) {
    const std::size_t end = std::min(value->find(','), value->size());
    if (!is_name(value->substr(0, end)) || into.size() == kMaxNames) return false;
    into.emplace_back(value->substr(0, end));
    if (end + 1 == value->size()) return false;  // a comma at the end
    value->remove_prefix(std::min(end + 1, value->size()));
  }
  return true;
}

template <class Number>
bool number_of(std::optional<std::string_view> value, Number& into) {
  if (!value || value->empty()) return false;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), into);
  return error == std::errc{} && end == value->data() + value->size();
}

}  // namespace

std::string_view to_string(DataClass data_class) { return kClasses[static_cast<std::size_t>(data_class)]; }

std::string serialize(const Contract& c) {
  std::string text(kContractMagic);
  text += "id " + c.id + "\nartefact " + to_string(c.artefact) + "\nowner " + c.owner + "\nusers " +
          joined(c.users) + "\nsites " + joined(c.sites) + "\npurposes " + joined(c.purposes) + "\nuses " +
          std::to_string(c.uses) + "\nexpires " + std::to_string(c.expires_unix_ms) + "\nclass ";
  text += to_string(c.data_class);
  return text + "\nissued " + std::to_string(c.issued_unix_ms) + "\n";
}

Result<Contract> parse_contract(std::string_view text) noexcept {
  if (!text.starts_with(kContractMagic) || text.size() > 64 * 1024) return Errc::BadContract;
  text.remove_prefix(kContractMagic.size());
  Contract c;
  const auto id = take(text, "id"), artefact = take(text, "artefact"), owner = take(text, "owner");
  const auto digest = artefact ? parse_digest(*artefact) : std::nullopt;
  if (!id || !is_name(*id) || !digest || !owner || !is_name(*owner)) return Errc::BadContract;
  c.id = *id;
  c.artefact = *digest;
  c.owner = *owner;
  if (!names_of(take(text, "users"), c.users) || !names_of(take(text, "sites"), c.sites) ||
      !names_of(take(text, "purposes"), c.purposes) || !number_of(take(text, "uses"), c.uses) ||
      !number_of(take(text, "expires"), c.expires_unix_ms))
    return Errc::BadContract;
  const auto word = take(text, "class");
  const auto found = word ? std::find(std::begin(kClasses), std::end(kClasses), *word) : std::end(kClasses);
  if (found == std::end(kClasses) || !number_of(take(text, "issued"), c.issued_unix_ms) || !text.empty())
    return Errc::BadContract;
  c.data_class = static_cast<DataClass>(found - std::begin(kClasses));
  return c;
}

Result<void> judge(const Contract& c, const Use& use) {
  if (use.revoked) return Errc::ContractRevoked;
  if (c.expires_unix_ms != 0 && use.unix_ms >= c.expires_unix_ms) return Errc::ContractExpired;
  if (use.user != c.owner && !named(c.users, use.user)) return Errc::ContractOwner;
  const bool anywhere = c.sites.empty() && c.data_class == DataClass::Open;
  if (!anywhere && !named(c.sites, use.site) && !named(c.sites, use.pool)) return Errc::ContractSite;
  if (!named(c.purposes, use.purpose)) return Errc::ContractPurpose;
  if (c.uses != 0 && use.uses_before >= c.uses) return Errc::ContractCount;
  return {};
}

}  // namespace qanat::jobs
