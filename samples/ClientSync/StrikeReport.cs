namespace ClientSync;

/// <summary>One report of a bird strike, as a client hands it over.</summary>
internal sealed record StrikeReport(
    int ReportId, int ClientId, string Client, DateOnly FlightDate, string Airport, string Aircraft, string Phase, string Species, string Damage, int TotalCostUsd);
