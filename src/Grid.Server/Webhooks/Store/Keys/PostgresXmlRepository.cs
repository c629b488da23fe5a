using System.Xml.Linq;
using Grid.Server.Log.Postgres;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Npgsql;

namespace Grid.Server.Webhooks.Store.Keys;

/// <summary>Keeps the keys of Data Protection in the database, where every silo of the cluster finds the same.</summary>
internal sealed class PostgresXmlRepository(PostgresDatabase database) : IXmlRepository
{
    /// <inheritdoc/>
    public IReadOnlyCollection<XElement> GetAllElements() => Guarded(() =>
    {
        using var command = database.Source.CreateCommand("select value from data_keys order by name");
        using var rows = command.ExecuteReader();
        var found = new List<XElement>();
        while (rows.Read()) found.Add(XElement.Parse(rows.GetString(0)));
        return found;
    });

    /// <inheritdoc/>
    public void StoreElement(XElement element, string friendlyName) => Guarded(() =>
    {
        using var connection = database.Source.OpenConnection();
        var watch = new CommitWatch(connection);
        using var command = new NpgsqlCommand(
            "insert into data_keys (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value", connection);
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = friendlyName });
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = element.ToString(SaveOptions.DisableFormatting) });
        command.ExecuteNonQuery();
        watch.Verify();
        return true;
    });

    private static T Guarded<T>(Func<T> call)
    {
        try
        {
            return call();
        }
        catch (NpgsqlException e)
        {
            throw PostgresDatabase.Unavailable(e);
        }
    }
}
