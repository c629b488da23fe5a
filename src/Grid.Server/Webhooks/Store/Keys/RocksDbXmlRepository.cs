using System.Text;
using System.Xml.Linq;
using Grid.Server.Log;
using Grid.Server.Webhooks.Store.RocksDb;
using Microsoft.AspNetCore.DataProtection.Repositories;

namespace Grid.Server.Webhooks.Store.Keys;

/// <summary>Keeps the keys of Data Protection in the embedded store.</summary>
internal sealed class RocksDbXmlRepository(RocksDbStore store) : IXmlRepository
{
    private static readonly byte[] Start = Encoding.UTF8.GetBytes("dataKey/");

    /// <inheritdoc/>
    public IReadOnlyCollection<XElement> GetAllElements()
    {
        using var lease = store.Lease();
        return [.. WebhookRows.Scan(lease.Database, lease.Database.Meta, Start).Select(r => XElement.Parse(Encoding.UTF8.GetString(r.Value)))];
    }

    /// <inheritdoc/>
    public void StoreElement(XElement element, string friendlyName)
    {
        using var lease = store.Lease();
        byte[] key = [.. Start, .. Encoding.UTF8.GetBytes(friendlyName)];
        lease.Database.Db.Put(
            key,
            Encoding.UTF8.GetBytes(element.ToString(SaveOptions.DisableFormatting)),
            lease.Database.Meta.Handle,
            new RocksDbSharp.WriteOptions().SetSync(true));
    }
}
