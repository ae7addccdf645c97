#include "gateway/admit/scope.hh"

#include <algorithm>
#include <utility>

namespace qanat::admit {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kPaths{{
    {"/v1/chat/", "chat"},
    {"/v1/completions", "chat"},
    {"/v1/embeddings", "chat"},
    {"/v1/responses", "chat"},
    {"/v1/models", "models"},
    {"/qanat/v1/resolve", "models"},
    {"/qanat/v1/quote", "models"},
    {"/v1/fine_tuning", "jobs"},
    {"/v1/batches", "jobs"},
    {"/qanat/v1/models", "jobs"},
    {"/v1/organization", "account"},
    {"/qanat/v1/bill", "account"},
    {"/qanat/v1/usage", "account"},
    {"/qanat/v1/calls", "account"},
    {"/qanat/v1/services", "dial"},
}};

std::optional<std::string> refuses(std::string_view clause, const std::vector<std::string>& has,
                                   std::string_view wanted) {
  if (has.empty() || std::find(has.begin(), has.end(), wanted) != has.end()) return std::nullopt;
  std::string text = "scope '" + std::string(clause) + "' has ";
  for (const std::string& each : has) text += (&each == &has.front() ? "'" : ", '") + each + "'";
  return text + ", and not '" + std::string(wanted) + "'";
}

}  // namespace

std::string_view endpoint_of(std::string_view path) {
  const auto found = std::find_if(kPaths.begin(), kPaths.end(),
                                  [&](const auto& entry) { return path.starts_with(entry.first); });
  return found == kPaths.end() ? "files" : found->second;
}

std::optional<std::string> Scope::refuses_endpoint(std::string_view endpoint) const {
  return refuses("endpoints", endpoints, endpoint);
}

std::optional<std::string> Scope::refuses_model(std::string_view model) const {
  return refuses("models", models, model);
}

}  // namespace qanat::admit
