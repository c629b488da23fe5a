using Grid.Server.Hosting;
using Grid.Server.Log;
using RocksDbSharp;

namespace Grid.UnitTests.Log;

public sealed class RocksDbStoreTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Epoch_and_secrets_stay_for_the_life_of_a_store()
    {
        string epoch;
        byte[] secret;
        await using (var store = Logs.OpenStore(_folder.Path))
        {
            epoch = store.Epoch;
            secret = store.GetOrCreateSecret("resume");
            Assert.Equal(32, secret.Length);
            Assert.Equal(secret, store.GetOrCreateSecret("resume"));
            Assert.NotEqual(secret, store.GetOrCreateSecret("tokens"));
        }

        await using (var again = Logs.OpenStore(_folder.Path))
        {
            Assert.Equal(epoch, again.Epoch);
            Assert.Equal(secret, again.GetOrCreateSecret("resume"));
        }

        using var other = new TempFolder();
        await using var another = Logs.OpenStore(other.Path);
        Assert.NotEqual(epoch, another.Epoch);
        Assert.NotEqual(secret, another.GetOrCreateSecret("resume"));
    }

    [Fact]
    public async Task A_second_process_is_refused_in_plain_words()
    {
        using var holder = Child.Start("hold", _folder.Path);
        Assert.Equal("open", await holder.Output.ReadLineAsync());

        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(_folder.Path));
        Assert.Contains("in use by another process", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(_folder.Path, refusal.Message, StringComparison.Ordinal);

        // It did the holder no harm, and once that is gone the folder is free.
        await holder.EndInputAsync();
        Assert.Equal(0, await holder.WaitAsync());
        await using var store = Logs.OpenStore(_folder.Path);
    }

    [Fact]
    public async Task A_second_opening_in_the_same_process_is_refused_too()
    {
        await using var store = Logs.OpenStore(_folder.Path);
        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(_folder.Path));
        Assert.Contains("in use", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_named()
    {
        var file = Path.Combine(_folder.Path, "file");
        File.WriteAllText(file, "not a folder");
        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(Path.Combine(file, "data")));
        Assert.Contains("cannot be created", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("Grid__DataDirectory", refusal.Message, StringComparison.Ordinal);
        Assert.Throws<GridStartupException>(() => Logs.OpenStore(file));
        Assert.Throws<GridStartupException>(() => Logs.OpenStore(string.Empty));
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_named()
    {
        // On Linux nobody can write here, not even root, whom permissions do not stop.
        var folder = OperatingSystem.IsLinux() ? "/proc/self" : Locked();
        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(folder));
        Assert.Contains("cannot be written", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("Grid__DataDirectory", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_damaged_store_is_refused_and_left_alone()
    {
        await using (var log = Logs.Open(_folder.Path)) await log.PurgeAsync(new("t", "c"));
        var manifest = Directory.GetFiles(_folder.Path, "MANIFEST-*").Single();
        var bytes = await File.ReadAllBytesAsync(manifest);
        for (var i = 20; i < bytes.Length; i++) bytes[i] ^= 0x5A;
        await File.WriteAllBytesAsync(manifest, bytes);

        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(_folder.Path));
        Assert.Contains("damaged", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(manifest));
    }

    [Fact]
    public async Task A_store_without_its_CURRENT_file_is_not_taken_for_an_empty_folder()
    {
        await using (var log = Logs.Open(_folder.Path)) await log.PurgeAsync(new("t", "c"));

        // Opening again moves the log's rows into tables.
        await using (var again = Logs.OpenStore(_folder.Path)) Assert.NotNull(again.Epoch);
        File.Delete(Path.Combine(_folder.Path, "CURRENT"));
        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(_folder.Path));
        Assert.Contains("CURRENT is missing", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_store_of_a_newer_version_is_refused()
    {
        await using (var store = Logs.OpenStore(_folder.Path))
        {
            using var lease = store.Lease();
            lease.Database.Db.Put("format"u8, [99], lease.Database.Meta.Handle);
        }

        var refusal = Assert.Throws<GridStartupException>(() => Logs.OpenStore(_folder.Path));
        Assert.Contains("newer version", refusal.Message, StringComparison.Ordinal);

        using var foreign = new TempFolder();
        using (var db = RocksDb.Open(new DbOptions().SetCreateIfMissing(true), foreign.Path, new ColumnFamilies()))
            db.CreateColumnFamily(new ColumnFamilyOptions(), "unknown");
        Assert.Contains(
            "something else", Assert.Throws<GridStartupException>(() => Logs.OpenStore(foreign.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task After_disposal_everything_is_unavailable()
    {
        var log = Logs.Open(_folder.Path);
        await log.DisposeAsync();
        await log.DisposeAsync();
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.GetHeadAsync(new("t", "c")));
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.ReadAsync(new("t", "c"), 0, 1));
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.PurgeAsync(new("t", "c")));
        Assert.Throws<LogUnavailableException>(() => log.Store.GetOrCreateSecret("s"));
    }

    private string Locked()
    {
        var folder = Path.Combine(_folder.Path, "locked");
        Directory.CreateDirectory(folder);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return folder;
    }
}
