using System.Security.Cryptography;
using System.Xml.Linq;
using Grid.Server.Log;
using Grid.Server.Webhooks.Store.Keys;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Webhooks.Store;

public sealed class GridDataProtectionTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Silos_that_made_the_first_key_at_the_same_moment_open_what_the_other_encrypted()
    {
        var keys = new Keys();
        using var first = Open(keys);
        using var second = Open(keys);
        var byFirst = Of(first).Protect([1]);
        keys.HideNext = true;
        var bySecond = Of(second).Protect([2]);
        Assert.Equal(2, keys.Stored);
        _time.Advance(TimeSpan.FromSeconds(11));
        Assert.Equal([2], Of(first).Unprotect(bySecond));
        Assert.Equal([1], Of(second).Unprotect(byFirst));
    }

    [Fact]
    public void What_no_key_opens_is_refused()
    {
        var keys = new Keys();
        using var protection = Open(keys);
        var text = Of(protection).Protect([1]);
        text[^1] ^= 1;
        Assert.Throws<CryptographicException>(() => Of(protection).Unprotect(text));
        _time.Advance(TimeSpan.FromSeconds(11));
        Assert.Throws<CryptographicException>(() => Of(protection).Unprotect(text));
    }

    [Fact]
    public void A_store_that_is_away_is_no_secret_that_is_lost()
    {
        var keys = new Keys();
        byte[] text;
        using (var before = Open(keys)) text = Of(before).Protect([1]);
        using var protection = Open(keys);
        keys.IsAway = true;
        Assert.Throws<LogUnavailableException>(() => Of(protection).Unprotect(text));
        Assert.Throws<LogUnavailableException>(() => Of(protection).Protect([1]));
        keys.IsAway = false;
        Assert.Equal([1], Of(protection).Unprotect(text));
    }

    private static IDataProtector Of(GridDataProtection protection) => protection.CreateProtector("test").CreateProtector("one");

    private GridDataProtection Open(Keys keys) => new(keys, NullLoggerFactory.Instance, _time);

    /// <summary>A store of keys.</summary>
    private sealed class Keys : IXmlRepository
    {
        private readonly List<XElement> _elements = [];

        public int Stored => _elements.Count;

        /// <summary>Whether the next read comes before what others just stored.</summary>
        public bool HideNext { get; set; }

        public bool IsAway { get; set; }

        public IReadOnlyCollection<XElement> GetAllElements()
        {
            if (IsAway) throw new LogUnavailableException("away");
            if (!HideNext) return [.. _elements];
            HideNext = false;
            return [];
        }

        public void StoreElement(XElement element, string friendlyName)
        {
            if (IsAway) throw new LogUnavailableException("away");
            _elements.Add(element);
        }
    }
}
